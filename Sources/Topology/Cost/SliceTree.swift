/// The ways on which the parts of a slice come to who adds it up: straight from the holders, or by relays, which add up what comes to
/// them and send on one sum. The total goes back on the same ways (in-network aggregation as of SwitchML, Sapio et al. 2021, by
/// peers; a tree for every slice as of Blink, Wang et al. 2020).
struct SliceTree: Hashable {
    /// The peers between.
    var relays: [Int] = []
    /// By holder of the piece: the relay that its part comes to, by position; −1 if it goes straight.
    var relayOfHolder: [Int]

    /// Every part goes straight.
    init(holders: Int) { relayOfHolder = Array(repeating: -1, count: holders) }

    /// The peer that a holder's part goes to first.
    func target(of holder: Int, adder: Int) -> Int {
        let relay = relayOfHolder[holder]
        return relay < 0 ? adder : relays[relay]
    }

    /// Parts and sums that whoever adds up waits for.
    var children: Int { relays.count + relayOfHolder.reduce(0) { $0 + ($1 < 0 ? 1 : 0) } }

    /// Gives up relays that a condition does not hold for: what they gather goes straight.
    mutating func keep(_ holds: (Int) -> Bool) {
        var kept: [Int] = []
        let places = relays.indices.map { index -> Int in
            guard relayOfHolder.contains(index), holds(relays[index]) else { return -1 }
            kept.append(relays[index])
            return kept.count - 1
        }
        relayOfHolder = relayOfHolder.map { $0 < 0 ? -1 : places[$0] }
        relays = kept
    }
}
