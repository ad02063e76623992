internal import Primitives

/// Which of a peer's addresses its datagrams go to, when several answer: a pure policy over measured round trips.
///
/// The present address stays unless another is better by more than the hysteresis. So queues that come and go do not make a
/// session hop, and of two addresses that are equally near, as IPv4 and IPv6 of one host are, the first to be found stays.
enum PathChoice {
    /// How much shorter a round trip has to be (a guess: more than the jitter of a usable path, less than anybody notices).
    static let hysteresis: Duration = .milliseconds(5)

    /// An address and the least of its round trips; `nil` if nothing came back.
    struct Measured: Hashable, Sendable {
        let address: NetworkAddress
        var roundTrip: Duration?
    }

    /// The address to use from now on. One that did not answer is never chosen over one that did, and with no answer at all
    /// everything stays as it is. Of equals the first wins: the list is in order of preference.
    static func choose(present: NetworkAddress, among measured: [Measured]) -> NetworkAddress {
        var best: (address: NetworkAddress, roundTrip: Duration)?
        for candidate in measured {
            guard let roundTrip = candidate.roundTrip, best.map({ roundTrip < $0.roundTrip }) ?? true else { continue }
            best = (candidate.address, roundTrip)
        }
        guard let best else { return present }
        guard let own = measured.first(where: { $0.address == present })?.roundTrip else { return best.address }
        return own - best.roundTrip > hysteresis ? best.address : present
    }
}
