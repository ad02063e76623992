internal import Primitives

/// Which part of the gradients of which layers each peer adds up so that the exchange ends soonest (`ExchangeStyle.timed`).
///
/// `TailoredSlices` looks at what links carry, not at when: stages do not have their gradients at the same time, a total waits
/// for the last part of its slice, and links idle meanwhile. Here the exchange is followed transfer by transfer
/// (`FollowedExchange`), and slices on the ways that end last shrink, in proportion to what they add to these, and grow
/// elsewhere (mirror descent with the entropy as its distance, Beck and Teboulle 2003; the end of an exchange is convex in the
/// slices while the order of its transfers stays). The best of all rounds counts.
struct TimedSlices<Exchange: FollowedExchange> {
    let recurrence: Exchange
    let tailored: TailoredSlices
    /// By piece: its group.
    let groups: [Int]
    /// Slices below are given up: they would still have to wait for every latency.
    let smallest: Double

    /// Rounds for slices that have not been fitted before.
    static var rounds: Int { 60 }
    /// How far a slice moves in the first round, and after how many rounds half as far.
    private static var stride: Double { 0.25 }
    private static var patience: Double { 8 }
    /// How soon before the end of the exchange what arrives counts 1/e, as parts of the exchange's length: at first and at last.
    private static var firstSharpness: Double { 25 }
    private static var lastSharpness: Double { 250 }

    /// By piece and peer.
    ///
    /// - Parameters:
    ///   - start: by group and peer.
    ///   - rounds: the last of all rounds that are made; fewer will do where the start has been fitted to something similar.
    func slices(from start: [[Double]], rounds: Int = Self.rounds) -> [[Double]] {
        var slices = start
        var best = start
        var least = Double.infinity
        var record = Exchange.Record()
        for round in (Self.rounds - rounds)...Self.rounds {
            let ofPieces = groups.map { slices[$0] }
            recurrence.record(ofPieces, &record)
            if record.end < least {
                least = record.end
                best = slices
            }
            guard round < Self.rounds, record.end > record.begin else { break }
            let growth = Elementary.log(Self.lastSharpness / Self.firstSharpness) / Double(Self.rounds)
            let sharpness =
                Self.firstSharpness * Elementary.exp(growth * Double(round)) / (record.end - record.begin)
            var prices = Array(repeating: Array(repeating: 0.0, count: start.first?.count ?? 0), count: slices.count)
            for (group, price) in zip(groups, recurrence.prices(record, ofPieces, sharpness: sharpness)) {
                for peer in price.indices { prices[group][peer] += price[peer] }
            }
            guard move(&slices, prices, stride: Self.stride / (1 + Double(round) / Self.patience)) else { break }
            tailored.fit(&slices)
        }
        return groups.map { best[$0] }
    }

    /// Moves slices from where they are dear to where they are not; whether there is anything to gain.
    private func move(_ slices: inout [[Double]], _ prices: [[Double]], stride: Double) -> Bool {
        let means = zip(slices, prices).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }
        guard let dearest = means.max(), dearest > 0 else { return false }
        for index in slices.indices where means[index] > 0 {
            var sum = 0.0
            for adder in slices[index].indices where slices[index][adder] > 0 {
                let change = stride * (means[index] - prices[index][adder]) / dearest
                slices[index][adder] *= min(2, max(0.5, 1 + change))
                if slices[index][adder] < smallest { slices[index][adder] = 0 }
                sum += slices[index][adder]
            }
            for adder in slices[index].indices { slices[index][adder] /= sum }
        }
        return true
    }
}
