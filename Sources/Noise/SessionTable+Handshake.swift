internal import Primitives

extension SessionTable {
    // MARK: Initiator

    /// Begins a handshake with a peer, or sends a fresh initiation in place of an unanswered one.
    func initiate(
        _ peer: SessionPeer, attempt: Int, since: Instant, isCorrected: Bool = false, at now: Instant,
        into effects: inout [Effect]
    ) {
        if let old = peer.handshake {
            indices[old.index] = nil
            peer.handshake = nil
        }
        let targets = targets(of: peer, attempt: attempt)
        guard !targets.isEmpty else { return fail(peer, .noAddress, into: &effects) }
        let index = freshIndex(for: peer)
        let payload = InitiationPayload(binding: identity.binding, timestamp: nextTimestamp(for: peer, at: now))
        guard let ephemeral = AgreementKey(secret: entropy.secretBytes(count: 32)),
            var state = try? HandshakeState(
                pattern: .ikpsk2, role: .initiator, prologue: SessionMessage.prologue, staticKey: identity.staticKey,
                ephemeral: ephemeral, remoteStatic: peer.agreementKey, presharedKey: secret.psk),
            let message = try? state.writeMessage(payload: payload.bytes)
        else {
            indices[index] = nil
            return fail(peer, .weakKey, into: &effects)
        }
        var datagram = SessionMessage.header(.initiation)
        datagram += withUnsafeBytes(of: index.littleEndian) { Array($0) }
        datagram += message
        let mac1 = HandshakeMAC(secret: secret, receiver: peer.agreementKey).mac1(of: datagram)
        datagram += mac1
        if let cookie = peer.cookie, cookie.expires > now {
            datagram += HandshakeMAC.mac2(of: datagram, cookie: cookie.value)
        } else {
            datagram += [UInt8](repeating: 0, count: SessionMessage.macByteCount)
        }
        let pause = min(configuration.firstRetry * (1 << min(attempt, 16)), configuration.maximumRetry)
        let jitter = Duration.nanoseconds(Int64(Double(pause.nanoseconds) * indexGenerator.unit() / 3))
        let retryAt = now + CandidateAddresses.stagger * (targets.count - 1) + pause + jitter
        peer.handshake = OutgoingHandshake(
            index: index, state: state, mac1: mac1, datagram: datagram, targets: targets,
            timestamp: payload.timestamp, isCorrected: isCorrected, since: since, attempt: attempt, retryAt: retryAt)
        counters.handshakesBegun += 1
        wake(at: retryAt)
        tryNextTarget(of: peer, at: now, into: &effects)
    }

    /// Sends the initiation under way to the next address, if its time has come. All get the same bytes: the responder
    /// answers the first to arrive, and the others are replays.
    func tryNextTarget(of peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        guard let handshake = peer.handshake, let target = handshake.takeTarget(at: now) else { return }
        transmit(handshake.datagram, to: target, into: &effects)
        if let next = handshake.nextTargetAt { wake(at: next) }
    }

    /// The addresses of one attempt: the last known good one first, then the contact's.
    private func targets(of peer: SessionPeer, attempt: Int) -> [NetworkAddress] {
        CandidateAddresses(peer.addresses, lastGood: peer.path.endpoint, sendsIPv6: sendsIPv6).batch(attempt)
    }

    /// Gives up on a peer for now.
    func fail(_ peer: SessionPeer, _ reason: SessionFailure, into effects: inout [Effect]) {
        if let handshake = peer.handshake { indices[handshake.index] = nil }
        peer.handshake = nil
        counters.count(.queueOverflow, by: peer.takeQueue().count)
        effects.append(.failed(peer.peer, reason))
    }

    func receiveResponse(
        _ datagram: [UInt8], from source: NetworkAddress, at now: Instant, into effects: inout [Effect]
    ) {
        let split = datagram.count - SessionMessage.macByteCount
        guard equalInConstantTime(ownMAC.mac1(of: datagram[..<split]), Array(datagram[split...])) else {
            return counters.count(.stranger)
        }
        let index: UInt32 = SessionMessage.integer(datagram, at: 8)
        guard let peer = indices[index], let handshake = peer.handshake, handshake.index == index else {
            return counters.count(.unknownSession)
        }
        guard let payload = try? handshake.read(Array(datagram[12..<split])) else {
            return counters.count(.handshakeNotAuthentic)
        }
        peer.handshake = nil
        indices[index] = nil
        guard let binding = IdentityBinding(bytes: payload[...]), binding.peer == peer.peer,
            peer.isKeyProven || binding.binds(peer.agreementKey)
        else {
            counters.count(.identityMismatch)
            return fail(peer, .noAnswer, into: &effects)
        }
        guard let result = try? handshake.finish() else { return counters.count(.handshakeNotAuthentic) }
        peer.isKeyProven = true
        indices[index] = peer
        let session = session(
            result, localIndex: index, remoteIndex: SessionMessage.integer(datagram, at: 4), isInitiator: true, at: now)
        let isFirst = peer.current == nil
        // A session that we answered but that nobody has used yet steps aside; it may still be the one in use there.
        retire(peer.previous)
        if peer.next != nil {
            retire(peer.current)
            peer.previous = peer.next
            peer.next = nil
        } else {
            peer.previous = peer.current
        }
        peer.current = session
        if handshake.targets.contains(source) {
            let isMove = !isFirst && peer.path.endpoint != source
            peer.path.settle(at: source)
            if isMove { effects.append(.moved(peer.peer, source)) }
        } else {
            follow(peer, to: source, byteCount: datagram.count, isNewest: true, at: now, into: &effects)
        }
        counters.handshakesCompleted += 1
        if isFirst { effects.append(.established(peer.peer, peer.agreementKey, source)) }
        let queue = peer.takeQueue()
        // The responder sends nothing under these keys until it has heard them: an empty datagram will do.
        for payload in queue.isEmpty ? [[]] : queue { seal(payload, on: session, to: peer, at: now, into: &effects) }
    }

    func receiveRefusal(_ datagram: [UInt8], at now: Instant, into effects: inout [Effect]) {
        let split = datagram.count - SessionMessage.macByteCount
        guard equalInConstantTime(ownMAC.mac1(of: datagram[..<split]), Array(datagram[split...])) else {
            return counters.count(.stranger)
        }
        let index: UInt32 = SessionMessage.integer(datagram, at: 8)
        guard let peer = indices[index], let handshake = peer.handshake, handshake.index == index else {
            return counters.count(.unknownSession)
        }
        guard let payload = try? handshake.read(Array(datagram[12..<split])),
            let reason = RefusalReason(bytes: payload.dropFirst(IdentityBinding.byteCount)),
            let binding = IdentityBinding(bytes: payload.prefix(IdentityBinding.byteCount)),
            binding.peer == peer.peer, peer.isKeyProven || binding.binds(peer.agreementKey)
        else { return counters.count(.handshakeNotAuthentic) }
        switch reason {
        case .notAdmitted: fail(peer, .notAdmitted, into: &effects)
        case .outdated(let newest):
            guard newest > handshake.timestamp else { return counters.count(.handshakeNotAuthentic) }
            counters.handshakesOutdated += 1
            peer.timestampFloor = newest
            // A second one in a row waits for its time, or a liar could keep this peer busy.
            guard !handshake.isCorrected else { return }
            initiate(
                peer, attempt: handshake.attempt, since: handshake.since, isCorrected: true, at: now, into: &effects)
        }
    }

    func receiveCookieReply(_ datagram: [UInt8], at now: Instant) {
        let index: UInt32 = SessionMessage.integer(datagram, at: 4)
        guard let peer = indices[index], let handshake = peer.handshake, handshake.index == index else {
            return counters.count(.unknownSession)
        }
        guard
            let cookie = CookieJar.open(
                datagram, mac1: handshake.mac1, secret: secret, responder: peer.agreementKey)
        else { return counters.count(.notAuthentic) }
        peer.cookie = (cookie, now + CookieJar.lifetime)
    }

    // MARK: Responder

    func receiveInitiation(
        _ datagram: [UInt8], from source: NetworkAddress, at now: Instant, into effects: inout [Effect]
    ) {
        let mac2Start = datagram.count - SessionMessage.macByteCount
        let mac1Start = mac2Start - SessionMessage.macByteCount
        guard
            equalInConstantTime(ownMAC.mac1(of: datagram[..<mac1Start]), Array(datagram[mac1Start..<mac2Start]))
        else { return counters.count(.stranger) }
        if gate.countInitiation(at: now) {
            let cookie = cookies.cookie(for: source, at: now, entropy: &entropy)
            let expected = HandshakeMAC.mac2(of: datagram[..<mac2Start], cookie: cookie)
            guard equalInConstantTime(expected, Array(datagram[mac2Start...])) else {
                counters.count(.cookieDemanded)
                let reply = cookies.reply(to: datagram, from: source, at: now, entropy: &entropy)
                return transmit(reply, to: source, into: &effects)
            }
            guard gate.admit(source, at: now) else { return counters.count(.rateLimited) }
        }
        guard let ephemeral = AgreementKey(secret: entropy.secretBytes(count: 32)),
            var state = try? HandshakeState(
                pattern: .ikpsk2, role: .responder, prologue: SessionMessage.prologue, staticKey: identity.staticKey,
                ephemeral: ephemeral, remoteStatic: nil, presharedKey: secret.psk),
            let bytes = try? state.readMessage(Array(datagram[8..<mac1Start])),
            let payload = InitiationPayload(bytes: bytes), let key = state.remoteStatic
        else { return counters.count(.handshakeNotAuthentic) }
        guard policy.answers(payload.binding.peer) else {
            counters.count(.notAdmitted)
            // Who has no list yet knows of nobody that he is not admitted.
            if case .asking = policy { return }
            guard refuse(payload, key, datagram, state, because: .notAdmitted, from: source, at: now, into: &effects)
            else { return }
            return effects.append(.refused(payload.binding.peer))
        }
        if let known = peers[payload.binding.peer], payload.timestamp < known.greatestTimestamp {
            counters.count(.replayedInitiation)
            _ = refuse(
                payload, key, datagram, state, because: .outdated(newest: known.greatestTimestamp), from: source,
                at: now, into: &effects)
            return
        }
        guard let peer = admit(payload, key: key, at: now) else { return }
        guard let message = try? state.writeMessage(payload: identity.binding.bytes),
            let result = try? state.finish()
        else { return counters.count(.handshakeNotAuthentic) }
        peer.greatestTimestamp = payload.timestamp
        peer.lastInitiation = now
        retire(peer.next)
        let index = freshIndex(for: peer)
        let remoteIndex: UInt32 = SessionMessage.integer(datagram, at: 4)
        peer.next = session(result, localIndex: index, remoteIndex: remoteIndex, isInitiator: false, at: now)
        peer.nextSource = source
        var response = SessionMessage.header(.response)
        response += withUnsafeBytes(of: index.littleEndian) { Array($0) }
        response += datagram[4..<8]
        response += message
        response += HandshakeMAC(secret: secret, receiver: key).mac1(of: response)
        transmit(response, to: source, into: &effects)
    }

    /// Tells a peer, once it has proven who it is, why it gets no session, and nothing else: nothing is remembered here.
    /// Only who holds the initiation's ephemeral key can read it, so a replay teaches nobody anything.
    private func refuse(
        _ payload: InitiationPayload, _ key: AgreementPublicKey, _ datagram: [UInt8],
        _ handshake: consuming HandshakeState, because reason: RefusalReason, from source: NetworkAddress,
        at now: Instant, into effects: inout [Effect]
    ) -> Bool {
        guard refusals.admit(source, at: now), payload.binding.binds(key),
            let message = try? handshake.writeMessage(payload: identity.binding.bytes + reason.bytes)
        else { return false }
        var refusal = SessionMessage.header(.refusal) + [0, 0, 0, 0]
        refusal += datagram[4..<8]
        refusal += message
        refusal += HandshakeMAC(secret: secret, receiver: key).mac1(of: refusal)
        transmit(refusal, to: source, into: &effects)
        return true
    }

    /// Checks who an initiation is from and that it is new; finds or makes the peer's place in the table.
    private func admit(_ payload: InitiationPayload, key: AgreementPublicKey, at now: Instant) -> SessionPeer? {
        let id = payload.binding.peer
        let known = peers[id]
        let isProven = known.map { $0.isKeyProven && $0.agreementKey == key } ?? false
        guard id != identity.peer, isProven || payload.binding.binds(key) else {
            counters.count(.identityMismatch)
            return nil
        }
        if let known {
            guard payload.timestamp > known.greatestTimestamp else {
                counters.count(.replayedInitiation)
                return nil
            }
            if let last = known.lastInitiation, now - last < configuration.minimumInitiationInterval {
                counters.count(.rateLimited)
                return nil
            }
        }
        guard let peer = known ?? add(id, key) else {
            counters.count(.tableFull)
            return nil
        }
        setKey(key, of: peer)
        peer.isKeyProven = true
        return peer
    }

    // MARK: Both

    private func session(
        _ result: HandshakeResult, localIndex: UInt32, remoteIndex: UInt32, isInitiator: Bool, at now: Instant
    ) -> TransportSession {
        wake(at: now + configuration.rejectAfter)
        return TransportSession(
            localIndex: localIndex, remoteIndex: remoteIndex, isInitiator: isInitiator, createdAt: now,
            sending: result.sending, receiving: result.receiving)
    }

    /// Takes a session out of use.
    func retire(_ session: TransportSession?) {
        if let session { indices[session.localIndex] = nil }
    }
}
