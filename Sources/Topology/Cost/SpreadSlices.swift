internal import Primitives

/// Which part of every layer's gradients each peer adds up when all peers help and slices are the same for all layers
/// (`ExchangeStyle.spread`).
///
/// A link from peer i to peer j carries what i holds of j's slice and, back again, the total of i's slice for j: of V bytes that
/// each holds, V (xᵢ + xⱼ) for slices x. In a time T it can carry (T − latencies there and back) / seconds for a byte, so the
/// question is for the least T with Σ x = 1, a linear program with a constraint for each pair. It is solved for a given T
/// by maximising Σ x: all slices grow together until a link is full, which stops both of its ends (max-min fairness), then
/// multiplicative weights move slices from peers whose links are dear to others. Peers too far from somebody for T add up
/// nothing. The result follows the peers wherever they stand in the list.
struct SpreadSlices {
    /// By peer and peer: seconds for a byte over the slower direction, and latency there and back.
    private let seconds: [Double]
    private let trip: [Double]
    private let peers: Int
    /// No slice is larger.
    private let largest: Double

    /// Halvings of the time in which the least is sought: to a hundredth of what is enough for equal slices.
    private static let halvings = 7
    /// Improvements for a time.
    private static let rounds = 160
    /// What counts of a latency: pieces follow each other, so that only the last ones have to wait for it; a guess.
    static let latencyShare = 0.5
    /// How far a round moves a slice whose price is off.
    private static let stride = 0.05

    init(_ figures: SpreadFigures, largest: Double) {
        peers = figures.peers
        self.largest = largest
        var seconds = figures.seconds
        var trip = figures.latency
        for from in 0..<peers {
            for to in 0..<peers {
                seconds[from * peers + to] = max(
                    figures.seconds[from * peers + to], figures.seconds[to * peers + from])
                trip[from * peers + to] =
                    Self.latencyShare
                    * (figures.latency[from * peers + to] + figures.latency[to * peers + from])
            }
        }
        self.seconds = seconds
        self.trip = trip
    }

    /// By peer: its slice, all together 1.
    ///
    /// - Parameter bytes: what a peer holds gradients of.
    func slices(bytes: Double) -> [Double] {
        guard peers > 1 else { return Array(repeating: 1, count: peers) }
        let slowest = seconds.max() ?? 0
        var high = (trip.max() ?? 0) + max(1e-9, bytes * slowest)
        var low = 0.0
        guard var best = grown(within: high, bytes: bytes) else {
            return Array(repeating: 1 / Double(peers), count: peers)
        }
        for _ in 0..<Self.halvings {
            let middle = (low + high) / 2
            if let found = grown(within: middle, bytes: bytes) {
                best = found
                high = middle
            } else {
                low = middle
            }
        }
        let sum = best.reduce(0, +)
        return best.map { $0 / sum }
    }

    /// Slices that together are at least 1 and can be exchanged within the time; `nil` if none are found.
    private func grown(within time: Double, bytes: Double) -> [Double]? {
        // What both ends of a pair can add up for each other.
        var room = Array(repeating: 0.0, count: peers * peers)
        var helps = Array(repeating: true, count: peers)
        for peer in 0..<peers {
            for other in 0..<peers where other != peer {
                let left = time - trip[peer * peers + other]
                if left <= 0 { helps[peer] = false }
                let cost = bytes * seconds[peer * peers + other]
                room[peer * peers + other] = cost > 0 ? max(0, left) / cost : .infinity
            }
        }
        guard helps.contains(true) else { return nil }
        var slices = fair(room, helps)
        var sum = slices.reduce(0, +)
        var best = slices
        var prices = Array(repeating: 0.0, count: peers)
        for _ in 0..<Self.rounds where sum < 1 {
            // A full link makes both of its ends dear.
            for peer in 0..<peers { prices[peer] = 0 }
            for peer in 0..<peers where helps[peer] {
                for other in 0..<peers where other != peer {
                    let limit = room[peer * peers + other]
                    let load = (slices[peer] + slices[other]) / limit
                    prices[peer] += Self.steep(load) / limit
                }
                prices[peer] += Self.steep(slices[peer] / largest) / largest
            }
            let mean = prices.reduce(0, +) / Double(helps.count { $0 })
            guard mean > 0 else { break }
            for peer in 0..<peers where helps[peer] && prices[peer] > 0 {
                slices[peer] *= Elementary.exp(Self.stride * Elementary.log(mean / prices[peer]))
            }
            // As large as the fullest link allows.
            var fullest = 0.0
            for peer in 0..<peers where helps[peer] {
                fullest = max(fullest, slices[peer] / largest)
                for other in 0..<peers where other != peer {
                    fullest = max(fullest, (slices[peer] + slices[other]) / room[peer * peers + other])
                }
            }
            guard fullest > 0 else { break }
            for peer in 0..<peers { slices[peer] /= fullest }
            let now = slices.reduce(0, +)
            if now > sum {
                sum = now
                best = slices
            }
        }
        return sum >= 1 ? best : nil
    }

    /// A high power, so that full links count and others do not.
    private static func steep(_ load: Double) -> Double {
        let square = load * load
        let fourth = square * square
        let eighth = fourth * fourth
        return eighth * eighth * eighth
    }

    /// All slices as large as they can be if they grow alike.
    private func fair(_ room: [Double], _ helps: [Bool]) -> [Double] {
        var slices = Array(repeating: 0.0, count: peers)
        var grows = helps
        while grows.contains(true) {
            // How far all that grow can get.
            var level = largest
            for peer in 0..<peers where grows[peer] {
                for other in 0..<peers where other != peer {
                    let limit = room[peer * peers + other]
                    level = min(level, grows[other] ? limit / 2 : limit - slices[other])
                }
            }
            for peer in 0..<peers where grows[peer] { slices[peer] = level }
            guard level < largest else { break }
            var stopped = false
            for peer in 0..<peers where grows[peer] {
                for other in 0..<peers where other != peer {
                    let limit = room[peer * peers + other]
                    guard slices[peer] + slices[other] >= limit * (1 - 1e-12) else { continue }
                    grows[peer] = false
                    stopped = true
                    break
                }
            }
            guard stopped else { break }
        }
        return slices
    }
}

/// Links pair by pair, for exchanges in which every peer has to do with every other, and the slices that follow from them.
package final class SpreadFigures: Sendable {
    let peers: Int
    /// By sender and receiver; zero for a peer to itself.
    let seconds: [Double]
    let latency: [Double]
    private let largest: Double
    /// By the step of bytes.
    private let known = Memo<Int, [Double]>()
    private let roughly = Memo<Int, Double>()
    /// Relays are far too dear to be sought whenever a plan is simulated.
    let relayed = Memo<SpreadExchange.RelayedLayout, SpreadExchange.Relayed>()

    /// Slices for bytes that differ by less than this factor are the same.
    private static let grain = 1.2

    init(latency: LinkTable<Double>, secondsPerByte: LinkTable<Double>, peers: Int, largest: Double) {
        self.peers = peers
        self.largest = largest
        var seconds = Array(repeating: 0.0, count: peers * peers)
        var latencies = seconds
        for from in 0..<peers {
            for to in 0..<peers where to != from {
                seconds[from * peers + to] = secondsPerByte[from, to]
                latencies[from * peers + to] = latency[from, to]
            }
        }
        self.seconds = seconds
        self.latency = latencies
    }

    /// What an exchange takes about if all peers take part, hold so many bytes of gradients each and begin together.
    func roughSeconds(bytes: Double) -> Double {
        roughly.value(step(bytes)) {
            let slices = slices(bytes: bytes)
            var longest = 0.0
            for from in 0..<peers {
                for to in 0..<peers where to != from && slices[from] + slices[to] > 0 {
                    let link = from * peers + to
                    longest = max(
                        longest,
                        bytes * (slices[from] + slices[to]) * seconds[link] + latency[link]
                            + latency[to * peers + from])
                }
            }
            return longest
        }
    }

    private func step(_ bytes: Double) -> Int {
        Int((Elementary.log(max(1, bytes)) / Elementary.log(Self.grain)).rounded())
    }

    /// By peer: its slice if all peers take part and hold so many bytes of gradients each, about.
    func slices(bytes: Double) -> [Double] {
        let step = step(bytes)
        return known.value(step) {
            let bytes = Elementary.exp(Double(step) * Elementary.log(Self.grain))
            return SpreadSlices(self, largest: largest).slices(bytes: bytes)
        }
    }
}
