/// A network of which every round trip, and perhaps every rate, is known: what predictions are held against.
package struct TrueNetwork: Sendable {
    package var name: String
    package var count: Int
    /// Seconds, row-major; the diagonal counts for nothing. Zero where unknown.
    package var roundTrips: [Double]
    /// Bytes per second from the row's peer to the column's; empty if the set has none. Zero where unknown.
    package var rates: [Double]

    package init(name: String, count: Int, roundTrips: [Double], rates: [Double] = []) {
        self.name = name
        self.count = count
        self.roundTrips = roundTrips
        self.rates = rates
    }

    /// The round trip of a pair, whichever way round it is known.
    package func roundTrip(_ left: Int, _ right: Int) -> Double? {
        let there = roundTrips[left * count + right]
        let back = roundTrips[right * count + left]
        return there > 0 ? (back > 0 ? (there + back) / 2 : there) : (back > 0 ? back : nil)
    }

    package func rate(from sender: Int, to receiver: Int) -> Double? {
        guard !rates.isEmpty, sender != receiver else { return nil }
        let rate = rates[sender * count + receiver]
        return rate > 0 ? rate : nil
    }
}
