package import Primitives
package import Wire

/// All UDP sessions of one endpoint: who may talk to us, under which keys, and from where (WireGuard's rules, whitepaper
/// sections 5 and 6, with `Noise_IKpsk2` over SHA-256 and identities inside the handshake).
///
/// A class because it owns keys; its owner is one event loop or the simulator. No clock, no sockets, and no randomness
/// but the injected entropy. Strangers, who do not know the swarm secret, get no effect at all.
package final class SessionTable: ProtocolCore {
    package enum Input: Sendable {
        /// A UDP payload as it came.
        case datagram([UInt8], from: NetworkAddress)
        /// A payload of at most `Limits.datagramPayloadBytes` for a peer; waits for a session if there is none.
        case send([UInt8], to: PeerID)
        /// How to reach a peer; replaces what was known of it.
        case learn(Contact)
        /// Ends all sessions with a peer and forgets how to reach it.
        case forget(PeerID)
        /// An answer of a peer that was due has not come: make new keys, in case it has lost its own.
        case renew(PeerID)
        /// This machine's own addresses have changed: show the new ones to everybody with whom there is a session.
        case networkChanged
        /// Whom to answer and keep from now on.
        case restrict(AdmissionPolicy)
        /// `nextDeadline` has come.
        case timer
    }

    package enum Effect: Sendable, Equatable {
        case transmit([UInt8], to: NetworkAddress)
        /// An authentic payload from a peer, and the address that it came from.
        case deliver([UInt8], from: PeerID, address: NetworkAddress)
        /// A first session with a peer, or the first after a pause; not told again when keys are renewed.
        case established(PeerID, AgreementPublicKey, NetworkAddress)
        /// A peer with a session is at another address now, and has shown that it receives there.
        case moved(PeerID, NetworkAddress)
        /// A send that came to nothing; queued payloads are gone. A later send tries again.
        case failed(PeerID, SessionFailure)
        /// A peer that is not admitted was turned away.
        case refused(PeerID)
    }

    let identity: LocalIdentity
    let secret: SwarmSecret
    let configuration: SessionConfiguration
    var entropy: any EntropySource
    var indexGenerator: SeededGenerator
    /// Wall-clock milliseconds at the instant zero of the monotonic clock; may be negative.
    let wallClockOffset: Int64
    var lastTimestamp: UInt64 = 0
    let ownMAC: HandshakeMAC
    var cookies: CookieJar
    var gate: HandshakeGate
    var refusals: HandshakeGate
    var policy: AdmissionPolicy

    var peers: [PeerID: SessionPeer] = [:]
    /// The same peers in the order of their coming, because dictionaries are not iterated.
    var ordered: [SessionPeer] = []
    var indices: [UInt32: SessionPeer] = [:]
    /// Whether the socket reaches IPv6 addresses; those that it does not reach are not tried.
    package var sendsIPv6 = true
    /// A lower bound of all deadlines: exact after `timer`, never too late.
    var earliestDeadline: Instant?

    /// What happened so far, drops by their reason included.
    package internal(set) var counters = SessionCounters()

    /// A table with no sessions. `wallClockMilliseconds` is the system's clock at `now`; from there on the table goes by
    /// the monotonic clock, so that setting the clock back does not stop handshakes.
    package init(
        identity: LocalIdentity, secret: SwarmSecret, configuration: SessionConfiguration = SessionConfiguration(),
        entropy: any EntropySource, wallClockMilliseconds: UInt64, at now: Instant
    ) {
        self.identity = identity
        self.secret = secret
        policy = secret.initialPolicy
        self.configuration = configuration
        self.entropy = entropy
        wallClockOffset = Int64(clamping: wallClockMilliseconds) - now.nanoseconds / 1_000_000
        ownMAC = HandshakeMAC(secret: secret, receiver: identity.agreementPublicKey)
        cookies = CookieJar(secret: secret, own: identity.agreementPublicKey)
        gate = HandshakeGate(
            perSecond: configuration.handshakesPerSecondBeforeLoad,
            perSource: configuration.handshakesPerSecondAndSourceUnderLoad, burst: configuration.handshakeBurst)
        refusals = HandshakeGate(
            perSecond: .max, perSource: configuration.refusalsPerSecondAndSource, burst: configuration.refusalBurst)
        let seed = self.entropy.secretBytes(count: 8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        indexGenerator = SeededGenerator(seed: seed)
    }

    package var nextDeadline: Instant? { earliestDeadline }

    package func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .datagram(let datagram, let source): receive(datagram, from: source, at: now, into: &effects)
        case .send(let payload, let peer): send(payload, to: peer, at: now, into: &effects)
        case .learn(let contact): learn(contact)
        case .forget(let peer): forget(peer)
        case .renew(let peer): renewUnanswered(peer, at: now, into: &effects)
        case .networkChanged: announceMove(at: now, into: &effects)
        case .restrict(let policy):
            self.policy = policy
            for peer in ordered where !policy.keeps(peer.peer) { forget(peer.peer) }
        case .timer: fireTimers(at: now, into: &effects)
        }
    }

    /// Where datagrams to a peer go now; `nil` before its first authentic datagram.
    package func address(of peer: PeerID) -> NetworkAddress? { peers[peer]?.path.endpoint }

    /// Whether payloads to the peer leave at once.
    package func isEstablished(_ peer: PeerID) -> Bool { peers[peer]?.current != nil }

    /// The proven or promised X25519 key of a peer.
    package func agreementKey(of peer: PeerID) -> AgreementPublicKey? { peers[peer]?.agreementKey }

    /// Peers with at least one live session or a handshake under way.
    package var sessionCount: Int { ordered.count { $0.current != nil || $0.next != nil || $0.handshake != nil } }

    // MARK: Knowing peers

    private func learn(_ contact: Contact) {
        guard contact.peer != identity.peer else { return }
        guard policy.keeps(contact.peer) else { return counters.count(.notAdmitted) }
        guard let peer = peers[contact.peer] ?? add(contact.peer, contact.agreementKey) else {
            counters.count(.tableFull)
            return
        }
        peer.isLearnt = true
        let addresses = Array(contact.addresses.prefix(Limits.addressesPerRecord))
        if peer.addresses != addresses {
            peer.addresses = addresses
            peer.lastSurvey = nil
        }
        // A proven key stays while it serves; afterwards the peer may have come back with another.
        if !peer.isKeyProven || peer.current == nil { setKey(contact.agreementKey, of: peer) }
    }

    private func forget(_ id: PeerID) {
        guard let peer = peers.removeValue(forKey: id) else { return }
        ordered.removeAll { $0 === peer }
        for session in peer.sessions { indices[session.localIndex] = nil }
        if let handshake = peer.handshake { indices[handshake.index] = nil }
    }

    /// Makes room for one more peer; `nil` if the table is full of peers that are in use.
    func add(_ id: PeerID, _ key: AgreementPublicKey) -> SessionPeer? {
        if ordered.count >= configuration.maximumPeers {
            guard let idle = ordered.first(where: { $0.current == nil && !$0.isLearnt }) else { return nil }
            forget(idle.peer)
        }
        let peer = SessionPeer(peer: id, agreementKey: key)
        peers[id] = peer
        ordered.append(peer)
        return peer
    }

    /// Changes a peer's X25519 key; what was begun with the old one ends.
    func setKey(_ key: AgreementPublicKey, of peer: SessionPeer) {
        guard peer.agreementKey != key else { return }
        peer.agreementKey = key
        peer.isKeyProven = false
        if let handshake = peer.handshake { indices[handshake.index] = nil }
        peer.handshake = nil
    }

    /// An index that no session of ours has.
    func freshIndex(for peer: SessionPeer) -> UInt32 {
        while true {
            let index = UInt32(truncatingIfNeeded: indexGenerator.next())
            if indices[index] == nil {
                indices[index] = peer
                return index
            }
        }
    }

    /// The wall clock in milliseconds, made strictly growing, and greater than what the peer is known to have seen.
    func nextTimestamp(for peer: SessionPeer, at now: Instant) -> UInt64 {
        let wall = UInt64(max(wallClockOffset + now.nanoseconds / 1_000_000, 0))
        lastTimestamp = max(lastTimestamp + 1, wall)
        guard lastTimestamp <= peer.timestampFloor else { return lastTimestamp }
        // Kept with the peer: of its word nothing but its own sessions may depend.
        if peer.timestampFloor < .max { peer.timestampFloor += 1 }
        return peer.timestampFloor
    }

    private func receive(
        _ datagram: [UInt8], from source: NetworkAddress, at now: Instant, into effects: inout [Effect]
    ) {
        counters.datagramsReceived += 1
        counters.bytesReceived += UInt64(datagram.count)
        switch SessionMessage.kind(of: datagram) {
        case .initiation: receiveInitiation(datagram, from: source, at: now, into: &effects)
        case .response: receiveResponse(datagram, from: source, at: now, into: &effects)
        case .refusal: receiveRefusal(datagram, at: now, into: &effects)
        case .cookieReply: receiveCookieReply(datagram, at: now)
        case .transport: receiveTransport(datagram, from: source, at: now, into: &effects)
        case nil: counters.count(.malformed)
        }
    }
}
