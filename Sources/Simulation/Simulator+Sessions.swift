import Overlay
import Primitives
import Wire

// MARK: - Sessions and packets

extension Simulator {
    mutating func send(_ payload: [UInt8], from sender: Int, to receiver: Int) {
        guard peers[sender].policy.keeps(identity(receiver)) else { return }
        guard let session = peers[sender].sessions[receiver] else {
            guard peers[sender].ports.contains(receiver) else { return }
            peers[sender].sessions[receiver] = SimulatedSession(queue: [payload])
            return retry(sender, receiver, peers[sender].life)
        }
        if let life = session.life, session.isProven {
            transmit(.data(payload), from: sender, to: receiver, toLife: life)
            if session.isInitiator, time >= session.since + SessionModel.rekeyAfter { renew(sender, receiver) }
            return
        }
        if session.queue.count < SessionModel.queueLimit {
            peers[sender].sessions[receiver]?.queue.append(payload)
        }
        // A responder with something to say does not wait for the initiator.
        if session.life != nil, session.attempts == 0 { retry(sender, receiver, peers[sender].life) }
    }

    /// Tries a handshake, and once more later if there is no answer.
    mutating func retry(_ sender: Int, _ receiver: Int, _ life: UInt32) {
        guard peers[sender].life == life, peers[sender].node != nil, var session = peers[sender].sessions[receiver],
            !session.isProven
        else { return }
        guard session.attempts < SessionModel.attempts else {
            peers[sender].sessions[receiver] = nil
            handle(.sessionFailed(identity(receiver)), sender)
            return
        }
        session.attempts += 1
        peers[sender].sessions[receiver] = session
        transmit(.handshake, from: sender, to: receiver, toLife: 0)
        queue.push(.retry(from: sender, to: receiver, life: life), at: time + SessionModel.retryInterval)
    }

    /// Begins a handshake beside a session.
    mutating func renew(_ sender: Int, _ receiver: Int) {
        peers[sender].sessions[receiver]?.since = time
        transmit(.handshake, from: sender, to: receiver, toLife: 0)
    }

    private mutating func transmit(_ kind: Packet.Kind, from sender: Int, to receiver: Int, toLife: UInt32) {
        let announced = announcedPort(receiver)
        let toPort = peers[sender].ports.port(of: receiver, announced: announced) ?? announced
        let fromPort = peers[sender].nat?.send(to: receiver, port: toPort, at: time) ?? 0
        var packet = Packet(
            kind: kind, from: sender, to: receiver, fromPort: fromPort, toPort: toPort, fromLife: peers[sender].life,
            toLife: toLife)
        let bytes = packet.byteCount
        peers[sender].sentBytes += bytes
        peers[sender].sentDatagrams += 1
        let passage = network.send(from: sender, to: receiver, bytes: bytes, at: time)
        packet.isCorrupted = passage.isCorrupted
        if let first = passage.first { queue.push(.arrival(packet), at: first) }
        if let second = passage.second { queue.push(.arrival(packet), at: second) }
    }

    /// The port that a peer tells everybody.
    func announcedPort(_ index: Int) -> UInt32 { peers[index].nat?.announcedPort ?? 0 }

    mutating func deliver(_ packet: Packet) {
        peers[packet.to].receivedBytes += packet.byteCount
        if let nat = peers[packet.to].nat,
            !nat.admits(from: packet.from, port: packet.fromPort, to: packet.toPort, at: time)
        {
            return network.countFiltered()
        }
        guard peers[packet.to].node != nil else { return }
        if peers[packet.to].pausedUntil != nil {
            if peers[packet.to].backlog.count < SessionModel.backlogLimit { peers[packet.to].backlog.append(packet) }
        } else {
            accept(packet)
        }
    }

    /// A running process reads a packet.
    mutating func accept(_ packet: Packet) {
        let (sender, receiver) = (packet.from, packet.to)
        guard peers[receiver].node != nil else { return }
        record(packet)
        // No key opens a damaged packet; its sender is left to notice the silence.
        guard !packet.isCorrupted else { return }
        switch packet.kind {
        case .handshake: answerHandshake(packet)
        case .refusal:
            guard packet.toLife == peers[receiver].life, peers[receiver].sessions[sender] != nil else { return }
            peers[receiver].sessions[sender] = nil
            handle(.refused(by: identity(sender)), receiver)
            handle(.sessionFailed(identity(sender)), receiver)
        case .response:
            guard packet.toLife == peers[receiver].life, peers[receiver].sessions[sender] != nil,
                peers[receiver].sessions[sender]?.isProven != true
                    || peers[receiver].sessions[sender]?.life != packet.fromLife
            else { return }
            peers[receiver].sessions[sender]?.life = packet.fromLife
            if !prove(receiver, sender, packet, isInitiator: true) {
                transmit(.keepalive, from: receiver, to: sender, toLife: packet.fromLife)
            }
        case .keepalive, .data:
            guard packet.toLife == peers[receiver].life, peers[receiver].sessions[sender]?.life == packet.fromLife
            else { return }
            if peers[receiver].sessions[sender]?.isProven != true {
                _ = prove(receiver, sender, packet, isInitiator: false)
            }
            peers[receiver].ports.set(packet.fromPort, of: sender, announced: announcedPort(sender))
            guard case .data(let payload) = packet.kind else { return }
            deliveries += 1
            peers[receiver].received += 1
            handle(.datagram(payload, from: identity(sender)), receiver)
        }
    }

    /// Answers somebody who may be anybody: with fewer bytes than it sent, and with nothing else until it is proven.
    private mutating func answerHandshake(_ packet: Packet) {
        let (sender, receiver) = (packet.from, packet.to)
        guard peers[receiver].policy.answers(identity(sender)) else {
            // Who has no list yet knows of nobody that he is not admitted.
            if case .asking = peers[receiver].policy { return }
            peers[receiver].ports.set(packet.fromPort, of: sender, announced: announcedPort(sender))
            transmit(.refusal, from: receiver, to: sender, toLife: packet.fromLife)
            return handle(.knocked(identity(sender)), receiver)
        }
        var session = peers[receiver].sessions[sender] ?? SimulatedSession()
        if session.life != packet.fromLife || !session.isProven {
            session.life = packet.fromLife
            session.isProven = false
        }
        session.unprovenReceivedBytes += packet.byteCount
        session.unprovenSentBytes += SessionModel.responseBytes
        peers[receiver].sessions[sender] = session
        peers[receiver].ports.set(packet.fromPort, of: sender, announced: announcedPort(sender))
        if session.unprovenSentBytes > session.unprovenReceivedBytes {
            observer.violate(
                "peer \(receiver) sent \(session.unprovenSentBytes) bytes to peer \(sender), which is not proven, for "
                    + "\(session.unprovenReceivedBytes) bytes", at: time)
        }
        transmit(.response, from: receiver, to: sender, toLife: packet.fromLife)
    }

    /// The other end has shown its keys: tells the core, and sends what has waited. Whether anything had.
    private mutating func prove(
        _ index: Int, _ other: Int, _ packet: Packet, isInitiator: Bool
    ) -> Bool {
        let waiting = peers[index].sessions[other]?.queue ?? []
        peers[index].sessions[other] = SimulatedSession(
            life: packet.fromLife, isProven: true, since: time, isInitiator: isInitiator)
        peers[index].ports.set(packet.fromPort, of: other, announced: announcedPort(other))
        for payload in waiting { transmit(.data(payload), from: index, to: other, toLife: packet.fromLife) }
        handle(.sessionEstablished(identity(other), peers[other].contact.addresses[0]), index)
        return !waiting.isEmpty
    }

    /// Mixes a delivery into the trace (FNV-1a over words).
    private mutating func record(_ packet: Packet) {
        func mix(_ word: UInt64, _ trace: inout UInt64) { trace = (trace ^ word) &* 0x0000_0100_0000_01B3 }
        mix(UInt64(bitPattern: time.nanoseconds), &traceHash)
        mix(UInt64(packet.from) << 32 | UInt64(packet.to), &traceHash)
        mix(UInt64(packet.byteCount), &traceHash)
        if case .data(let payload) = packet.kind {
            mix(payload.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }, &traceHash)
        }
        if tracesPackets { trace(packet.to, packet.summary) }
    }
}

extension Packet {
    /// One line for a trace.
    fileprivate var summary: String {
        let name =
            switch kind {
            case .handshake: "handshake"
            case .response: "response"
            case .refusal: "refusal"
            case .keepalive: "keepalive"
            case .data: "data"
            }
        return "\(isCorrupted ? "damaged " : "")\(name) from \(from), \(byteCount) bytes"
    }
}
