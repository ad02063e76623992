internal import Primitives

/// How this peer's datagrams look from outside (the terms of RFC 4787, section 4.1).
package enum NATKind: String, Hashable, Sendable {
    /// Nobody has reported yet.
    case unknown
    /// Others see the addresses that this machine has.
    case none
    /// Others see another address, and all the same one: they can reach this peer there.
    case endpointIndependent = "endpoint-independent"
    /// Each of the others sees another port ("symmetric"): what one sees is of no use to the next.
    case addressDependent = "address-dependent"
}

/// The addresses at which others say that they see this peer, one report each.
struct ObservedAddresses: Sendable {
    /// Reports that are kept; the oldest makes room. Two agree or they do not: more only help against liars.
    static let capacity = 64
    /// A report outlives the session that it came with (90 minutes), after which there is a new one.
    static let lifetime: Duration = .seconds(7200)
    /// Parties that have to agree, so that one alone cannot direct everybody's handshakes to a victim.
    static let quorum = 2

    private struct Report: Sendable {
        let reporter: PeerID
        let party: [UInt8]
        let address: NetworkAddress
        let expires: Instant
    }

    private var reports: [Report] = []  // the oldest first

    var nextExpiry: Instant? { reports.first?.expires }

    /// Puts a peer's report in the place of its former one. `source` is where the peer itself is.
    mutating func note(_ address: NetworkAddress, by reporter: PeerID, at source: NetworkAddress, now: Instant) {
        remove(reporter)
        if reports.count >= Self.capacity { reports.removeFirst() }
        reports.append(
            Report(reporter: reporter, party: Self.party(source), address: address, expires: now + Self.lifetime))
    }

    /// Drops a peer's report; whether there was one.
    @discardableResult mutating func remove(_ reporter: PeerID) -> Bool {
        guard let place = reports.firstIndex(where: { $0.reporter == reporter }) else { return false }
        reports.remove(at: place)
        return true
    }

    mutating func removeAll() { reports = [] }

    mutating func expire(at now: Instant) { reports.removeAll { $0.expires <= now } }

    /// The part of an address that one party is likely to own: an IPv4 /24 or an IPv6 /48.
    private static func party(_ address: NetworkAddress) -> [UInt8] {
        Array(address.addressBytes.prefix(address.isIPv4 ? 15 : 6))
    }

    /// Addresses other than the machine's own that enough parties agree upon, or the only other peer sees.
    func believed(local: [NetworkAddress], isOnlyPeer: Bool) -> [NetworkAddress] {
        let foreign = reports.filter { !local.contains($0.address) }
        var believed: [NetworkAddress] = []
        for report in foreign where !believed.contains(report.address) {
            let parties = Set(foreign.filter { $0.address == report.address }.map(\.party))
            if parties.count >= Self.quorum || (isOnlyPeer && reports.count == 1) { believed.append(report.address) }
        }
        return believed.sorted()
    }

    /// What the reports say together.
    func kind(local: [NetworkAddress]) -> NATKind {
        guard !reports.isEmpty else { return .unknown }
        let seen = reports.map(\.address).filter { !local.contains($0) }
        guard !seen.isEmpty else { return .none }
        let (addressCount, hostCount) = (Set(seen).count, Set(seen.map { $0.withPort(0) }).count)
        return addressCount > hostCount ? .addressDependent : .endpointIndependent
    }
}
