internal import Logging
internal import Overlay
internal import Primitives

/// What a node's operator has to know about identities that are in use twice.
struct IdentityWarnings: Sendable {
    /// How long a conflict is shown after it was last seen; members outbid each other every few seconds while it lasts.
    static let memory: Duration = .seconds(600)
    /// Members whose identities are remembered as used twice.
    static let maximumMembers = 16
    /// Shortest time between two lines about it in the log.
    static let logInterval: Duration = .seconds(60)

    private(set) var count = 0
    private(set) var addresses: [NetworkAddress] = []
    private(set) var lastSeen: Instant?
    private(set) var members: [(peer: PeerID, seen: Instant)] = []
    private var lastLogged: Instant?

    /// This node's identity was met elsewhere; returns whether that is worth a line in the log.
    mutating func noteOwn(at others: [NetworkAddress], now: Instant) -> Bool {
        count += 1
        addresses = others
        lastSeen = now
        if let lastLogged, now - lastLogged < Self.logInterval { return false }
        lastLogged = now
        return true
    }

    mutating func note(_ peer: PeerID, now: Instant) {
        members.removeAll { $0.peer == peer }
        if members.count >= Self.maximumMembers { members.removeFirst() }
        members.append((peer, now))
    }

    /// The conflict of this node's own identity, if there was one of late.
    func view(at now: Instant) -> IdentityConflictView? {
        guard let lastSeen, now - lastSeen < Self.memory else { return nil }
        return IdentityConflictView(
            count: count, lastSeenSeconds: (now - lastSeen).seconds, otherAddresses: addresses.map(\.description))
    }

    /// Members whose identities were seen to be used twice of late.
    func membersUsedTwice(at now: Instant) -> [PeerID] {
        members.filter { now - $0.seen < Self.memory }.map(\.peer).sorted()
    }
}

extension Node {
    /// Somebody else signs with this node's key.
    func noteIdentityConflict(at others: [NetworkAddress]) {
        guard identityWarnings.noteOwn(at: others, now: MonotonicClock.now) else { return }
        log.warning(
            "this identity is in use by another process too: stop one of the two, or start it with its own --state",
            metadata: ["others": "\(others.map(\.description).joined(separator: ", "))"])
    }

    /// Two processes sign with another member's key.
    func noteIdentityUsedTwice(by peer: PeerID) {
        identityWarnings.note(peer, now: MonotonicClock.now)
        log.warning(
            "a member's identity seems to be in use by two processes: tell its operator", metadata: ["peer": "\(peer)"])
    }
}
