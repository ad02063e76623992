package import Primitives
package import Wire

/// Which addresses this peer gives to others: those of its interfaces, and those at which others see it.
///
/// Tells each peer once a session where its datagrams come from; the report rides on a datagram that goes there anyway.
package struct Addresses: ProtocolCore {
    package enum Input: Sendable {
        /// The addresses of this machine's interfaces, or those that its operator names.
        case setLocal([NetworkAddress])
        /// A session is up, or has moved: the peer is at this address.
        case sessionEstablished(PeerID, NetworkAddress)
        case receive(AddressMessage, from: PeerID)
        case memberUp(PeerID)
        case memberDown(PeerID)
        case memberForgotten(PeerID)
        case timer
    }

    package enum Effect: Hashable, Sendable {
        /// This peer's record should have these addresses.
        case publish([NetworkAddress])
    }

    /// Times that keep records from flapping. All are guesses: a record costs every member some 200 bytes.
    package struct Configuration: Sendable {
        /// Shortest time between two records for the sake of observed addresses.
        package var republishInterval: Duration = .seconds(30)
        /// An observed address that is not confirmed any more stays for so long.
        package var withdrawAfter: Duration = .seconds(60)
        /// Shortest time between two reports to one peer.
        package var reportInterval: Duration = .seconds(10)
        /// Observed addresses in a record: one of each family is usual.
        package var maximumObserved = 2

        package init() {}
    }

    /// An observed address that was believed.
    private struct Known: Sendable {
        let address: NetworkAddress
        /// Since when it is not believed any more.
        var lostAt: Instant?
    }

    /// What one peer has to be told, and where it is.
    private struct Other: Sendable {
        var address: NetworkAddress
        var isPending = true
        var nextReport: Instant?
    }

    private let configuration: Configuration
    private var local: [NetworkAddress]
    private var published: [NetworkAddress]
    private var reports = ObservedAddresses()
    private var known: [Known] = []
    private var others: [PeerID: Other] = [:]  // only looked up, never iterated
    private var liveOthers = 0
    private var nextPublication: Instant?
    private var isPublicationDue = false
    package private(set) var counters = OverlayCounters()

    package init(configuration: Configuration = Configuration(), local: [NetworkAddress]) {
        self.configuration = configuration
        self.local = local
        published = local
    }

    /// How this peer looks from outside.
    package var natKind: NATKind { reports.kind(local: local) }

    /// The addresses at which others see this peer and which are not its own.
    package var observed: [NetworkAddress] { known.map(\.address) }

    package var nextDeadline: Instant? {
        var earliest = reports.nextExpiry
        func consider(_ instant: Instant) { earliest = earliest.map { min($0, instant) } ?? instant }
        for case let lostAt? in known.lazy.map(\.lostAt) { consider(lostAt + configuration.withdrawAfter) }
        if isPublicationDue, let nextPublication { consider(nextPublication) }
        return earliest
    }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        var isUrgent = false
        switch input {
        case .setLocal(let addresses):
            guard addresses != local else { return }
            local = addresses
            // What others saw was by way of the former network; they report again when they see the new one.
            reports.removeAll()
            isUrgent = true
        case .sessionEstablished(let peer, let address):
            if others.count >= Limits.members, others[peer] == nil { others.removeAll(keepingCapacity: true) }
            others[peer] = Other(address: address, nextReport: others[peer]?.nextReport)
            return
        case .receive(.observed(let address), let sender):
            guard let reporter = others[sender] else { return counters.count(.unknownSubject) }
            guard isPlausible(address) else { return counters.count(.unexpected) }
            reports.note(address, by: sender, at: reporter.address, now: now)
        case .memberUp:
            liveOthers += 1
            // Whether a single report counts is all that the number of members decides.
            guard liveOthers == 2 else { return }
        case .memberDown(let peer):
            liveOthers = max(liveOthers - 1, 0)
            guard reports.remove(peer) || liveOthers <= 1 else { return }
        case .memberForgotten(let peer):
            others[peer] = nil
            guard reports.remove(peer) else { return }
        case .timer:
            guard let deadline = nextDeadline, deadline <= now else { return }
        }
        update(isUrgent: isUrgent, at: now, into: &effects)
    }

    /// A report for a peer to which something is sent just now, if it is to have one.
    package mutating func takeReport(for peer: PeerID, at now: Instant) -> AddressMessage? {
        guard let other = others[peer], other.isPending, other.nextReport.map({ now >= $0 }) ?? true else { return nil }
        others[peer]?.isPending = false
        others[peer]?.nextReport = now + configuration.reportInterval
        return .observed(other.address)
    }

    /// Whether another peer is behind the same public host as this one: its record names a host at which this peer is observed,
    /// and its packets come from that host itself, or from a network that nobody outside has an address in. The record alone
    /// would be its word for it.
    package func isAtSameSite(_ contact: Contact) -> Bool {
        guard let source = others[contact.peer]?.address else { return false }
        let hosts = known.map { $0.address.withPort(0) }
        guard contact.addresses.contains(where: { hosts.contains($0.withPort(0)) }) else { return false }
        return source.isPrivate || source.isLoopback || hosts.contains(source.withPort(0))
            || local.contains { !source.isIPv4 && $0.addressWords.high == source.addressWords.high }
    }

    /// Whether a peer can be at this address at all.
    private func isPlausible(_ address: NetworkAddress) -> Bool {
        let bytes = address.addressBytes
        let isMulticast = address.isIPv4 ? bytes[12] >= 224 : bytes[0] == 0xFF
        return address.port != 0 && !address.isUnspecified && !isMulticast
            && (!address.isLoopback || local.contains { $0.isLoopback })
    }

    private mutating func update(isUrgent: Bool, at now: Instant, into effects: inout [Effect]) {
        reports.expire(at: now)
        let believed = reports.believed(local: local, isOnlyPeer: liveOthers <= 1)
        for index in known.indices {
            let isBelieved = believed.contains(known[index].address)
            known[index].lostAt = isBelieved ? nil : known[index].lostAt ?? now
        }
        known.removeAll {
            local.contains($0.address) || $0.lostAt.map { now - $0 >= configuration.withdrawAfter } ?? false
        }
        for address in believed where !known.contains(where: { $0.address == address }) {
            if known.count >= configuration.maximumObserved {
                // A confirmed address takes the place of one that is not confirmed any more.
                guard let lost = known.firstIndex(where: { $0.lostAt != nil }) else { break }
                known.remove(at: lost)
            }
            known.append(Known(address: address))
        }
        publish(isUrgent: isUrgent, at: now, into: &effects)
    }

    private mutating func publish(isUrgent: Bool, at now: Instant, into effects: inout [Effect]) {
        let room = Limits.addressesPerRecord - known.count
        let wanted = Array(local.prefix(room)) + known.map(\.address)
        isPublicationDue = wanted != published
        guard isPublicationDue, isUrgent || nextPublication.map({ now >= $0 }) ?? true else { return }
        isPublicationDue = false
        published = wanted
        nextPublication = now + configuration.republishInterval
        effects.append(.publish(wanted))
    }
}
