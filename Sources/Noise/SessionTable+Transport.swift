internal import Primitives
internal import Wire

extension SessionTable {
    func send(_ payload: [UInt8], to id: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard payload.count <= Limits.datagramPayloadBytes else { return effects.append(.failed(id, .tooLarge)) }
        guard let peer = peers[id] else { return effects.append(.failed(id, .unknownPeer)) }
        if let session = peer.current, now - session.createdAt < configuration.rejectAfter {
            seal(payload, on: session, to: peer, at: now, into: &effects)
            let isOld = session.isInitiator && now - session.createdAt >= configuration.rekeyAfter
            if isOld || session.sentCount >= configuration.rekeyAfterMessages { renew(peer, at: now, into: &effects) }
            return
        }
        counters.count(.queueOverflow, by: peer.enqueue(payload, maximumCount: configuration.queuedPayloads))
        renew(peer, at: now, into: &effects)
    }

    /// Begins a handshake unless one is under way.
    func renew(_ peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        guard peer.handshake == nil else { return }
        initiate(peer, attempt: 0, since: now, at: now, into: &effects)
    }

    /// Makes new keys because an answer that was due has not come: the peer may have restarted and lost its own. Whether
    /// something is due only the protocol above knows, so that nobody has to send empty datagrams as a sign of life.
    func renewUnanswered(_ id: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard let peer = peers[id] else { return }
        if let session = peer.current, now - session.createdAt < configuration.minimumRenewalAge { return }
        renew(peer, at: now, into: &effects)
    }

    /// Seals a payload and sends it to where the peer was last heard; while that is not proven, what goes beyond the
    /// allowance waits.
    func seal(
        _ payload: [UInt8], on session: TransportSession, to peer: SessionPeer, at now: Instant,
        into effects: inout [Effect]
    ) {
        guard peer.path.take(payload.count + Limits.transportOverheadBytes) else {
            return counters.count(
                .queueOverflow, by: peer.enqueue(payload, maximumCount: configuration.queuedPayloads))
        }
        guard let address = peer.path.endpoint ?? peer.addresses.first, let datagram = session.seal(payload) else {
            return
        }
        transmit(datagram, to: address, into: &effects)
        noteUse(of: peer, on: session, at: now, into: &effects)
    }

    func receiveTransport(
        _ datagram: [UInt8], from source: NetworkAddress, at now: Instant, into effects: inout [Effect]
    ) {
        let index: UInt32 = SessionMessage.integer(datagram, at: 4)
        guard let peer = indices[index], let session = peer.sessions.first(where: { $0.localIndex == index }) else {
            return counters.count(.unknownSession)
        }
        guard now - session.createdAt < configuration.rejectAfter else { return counters.count(.expired) }
        switch session.open(datagram) {
        case .replayed: return counters.count(.replayed)
        case .notAuthentic: return counters.count(.notAuthentic)
        case .payload(let payload, let isNewest):
            // The initiator has received our answer where its initiation came from.
            if session === peer.next, source == peer.nextSource { peer.path.prove(source) }
            // A challenge or its response tries a path and does not move the sender to it (RFC 9000, 9.1: probing).
            let message = PathMessage(payload)
            let moves = isNewest && session !== peer.previous && (message == nil || session === peer.next)
            follow(peer, to: source, byteCount: datagram.count, isNewest: moves, at: now, into: &effects)
            if session === peer.next { promote(peer, session, source: source, at: now, into: &effects) }
            if let message {
                receive(message, of: peer, from: source, at: now, into: &effects)
            } else if !payload.isEmpty {
                effects.append(.deliver(payload, from: peer.peer, address: source))
            }
            // An initiator that only listens renews before its keys run out.
            if session === peer.current, session.isInitiator,
                now - session.createdAt >= configuration.rejectAfter - configuration.listenerMargin
            {
                renew(peer, at: now, into: &effects)
            }
        }
    }

    /// The initiator has shown that it has the new keys: they are ours to use from now on.
    private func promote(
        _ peer: SessionPeer, _ session: TransportSession, source: NetworkAddress, at now: Instant,
        into effects: inout [Effect]
    ) {
        let isFirst = peer.current == nil
        retire(peer.previous)
        peer.previous = peer.current
        peer.current = session
        peer.next = nil
        if let handshake = peer.handshake {
            indices[handshake.index] = nil
            peer.handshake = nil
        }
        counters.handshakesCompleted += 1
        if isFirst { effects.append(.established(peer.peer, peer.agreementKey, source)) }
        for payload in peer.takeQueue() { seal(payload, on: session, to: peer, at: now, into: &effects) }
    }

    func transmit(_ datagram: [UInt8], to address: NetworkAddress, into effects: inout [Effect]) {
        counters.datagramsSent += 1
        counters.bytesSent += UInt64(datagram.count)
        effects.append(.transmit(datagram, to: address))
    }
}
