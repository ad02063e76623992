internal import Overlay
internal import Primitives
internal import Wire

extension FuzzTarget {
    /// What travels inside a session, and the values of gossip entries.
    static let overlay: [FuzzTarget] = [
        messages("overlay-membership", MembershipMessage.self, seeds: { OverlaySamples.membership }),
        messages("overlay-admission", AdmissionMessage.self, seeds: { OverlaySamples.admission }),
        codec("overlay-admission-page", seeds: { [OverlaySamples.admissionPage] }),
        messages("overlay-gossip", GossipMessage.self, seeds: { OverlaySamples.gossip }),
        messages(
            "overlay-addresses", AddressMessage.self,
            seeds: { (UInt64(0)..<2).map { .observed(FuzzSamples.contact($0 + 1).addresses[0]) } }),
        FuzzTarget(
            "overlay-payload", maximumByteCount: Limits.datagramPayloadBytes,
            seeds: {
                [
                    OverlaySamples.membership.prefix(3).flatMap(\.datagramBytes)
                        + OverlaySamples.gossip.prefix(2).flatMap(\.datagramBytes)
                ]
            },
            check: { bytes throws(FuzzFinding) in
                let all: [OverlayMessage]
                do { all = try OverlayMessage.decode(bytes) } catch { return false }
                var written: [UInt8] = []
                for message in all {
                    if case .membership(let message) = message {
                        written += message.datagramBytes
                    } else if case .gossip(let message) = message {
                        written += message.datagramBytes
                    } else if case .admission(let message) = message {
                        written += message.datagramBytes
                    } else if case .addresses(let message) = message {
                        written += message.datagramBytes
                    } else {
                        return true  // probing messages, which have a target of their own
                    }
                }
                try expectSame(written, bytes)
                return true
            }),
        FuzzTarget(
            "overlay-probing", maximumByteCount: Limits.datagramPayloadBytes + 16,
            seeds: { OverlaySamples.probing.map(\.wireBytes) },
            check: { bytes throws(FuzzFinding) in
                let message: ProbingMessage
                do { message = try ProbingMessage(wireBytes: bytes) } catch { return false }
                let written = message.wireBytes
                if case .train = message {
                    // The filler's contents mean nothing; its length does.
                    try expectSame(Array(written.prefix(12)), Array(bytes.prefix(12)))
                    guard written.count == bytes.count else { throw FuzzFinding("a train packet changed its size") }
                } else {
                    try expectSame(written, bytes)
                }
                return true
            }),
        codec("overlay-capability", seeds: { [OverlaySamples.capability] }),
        codec(
            "overlay-links", maximumByteCount: Limits.entryDatagramValueBytes + 200,
            seeds: { [LinksPage(reports: []), OverlaySamples.links] }),
        codec(
            "overlay-entry",
            seeds: {
                [
                    SignedEntry(
                        key: .capability, version: 3, value: OverlaySamples.capability.wireBytes,
                        signer: FuzzSamples.signer(1)),
                    SignedEntry(
                        key: .links(page: 1), version: 1 << 40, value: OverlaySamples.links.wireBytes,
                        signer: FuzzSamples.signer(2)),
                ]
            }),
    ]

    /// One message of a datagram that fills all of the bytes.
    private static func messages<Message: DatagramMessage>(
        _ name: String, _: Message.Type, seeds: @escaping @Sendable () -> [Message]
    ) -> FuzzTarget {
        FuzzTarget(
            name, maximumByteCount: Limits.datagramPayloadBytes, seeds: { seeds().map(\.datagramBytes) },
            check: { bytes throws(FuzzFinding) in
                var reader = WireReader(bytes)
                let message: Message
                do throws(WireError) {
                    message = try Message(type: try reader.read(), from: &reader)
                    try reader.finish()
                } catch { return false }
                try expectSame(message.datagramBytes, bytes)
                return true
            })
    }
}

/// One of each message.
enum OverlaySamples {
    static let signer = FuzzSamples.signer(1)
    static let record = PeerRecord(contact: FuzzSamples.contact(2), incarnation: 7, signer: signer)
    static let accusation = Accusation(peer: FuzzSamples.peer(1), incarnation: 7, accuser: FuzzSamples.peer(2))
    static let buckets = BucketDigests(
        buckets: (0..<UInt32(DigestTable.bucketCount)).map { $0 &* 0x9E37_79B9 })
    static let items = ItemDigests(
        mask: 0xFF, range: 0...UInt64.max, items: [.init(prefix: 1, hash: 2), .init(prefix: 3, hash: 4)])

    static var membership: [MembershipMessage] {
        [
            .ping(sequence: 1, viewDigest: 2), .ack(sequence: 1, viewDigest: 2),
            .pingRequest(sequence: 3, target: FuzzSamples.peer(3), timeoutMilliseconds: 500),
            .relayedAck(sequence: 3), .nack(sequence: 4), .alive(record), .suspect(accusation), .dead(accusation),
            .left(Farewell(incarnation: 8, signer: signer)), .join(record), .stateRequest(after: nil, pages: 8),
            .stateRequest(after: FuzzSamples.peer(4), pages: 255), .statePage([record], through: FuzzSamples.peer(5)),
            .viewBuckets(buckets), .viewItems(items), .viewRequest(prefixes: [1, 2, 3]),
        ]
    }

    static var gossip: [GossipMessage] {
        [
            .root(5), .entry(SignedEntry(key: .coordinate, version: 1, value: [1, 2, 3], signer: signer)),
            .buckets(buckets), .owners(items),
            .versions(owner: FuzzSamples.peer(1), [EntryVersion(key: .capability, version: 9)]),
            .request(owner: FuzzSamples.peer(1), [.capability, .links(page: 2)]),
        ]
    }

    static let admissionPage = AdmissionPage(statements: [
        AdmissionStatement(peer: FuzzSamples.peer(2), isAdmitted: true),
        AdmissionStatement(peer: FuzzSamples.peer(3), isAdmitted: false),
    ])

    static var admission: [AdmissionMessage] {
        [
            .page(SignedEntry(key: .admission(page: 1), version: 4, value: admissionPage.wireBytes, signer: signer)),
            .versions([4, 0, 9]),
        ]
    }

    static var probing: [ProbingMessage] {
        [
            .echo(token: 1), .echoReply(token: 1, held: .microseconds(80)),
            .reserve(session: 2, .routine, allowanceBytes: 3),
            .reserve(session: 2, .requested, allowanceBytes: .max),
            .reserve(session: 2, .attested, allowanceBytes: .max),
            .reserve(session: 2, .available, allowanceBytes: .max), .grant(session: 2, allowanceBytes: 4),
            .busy(session: 2, retryAfterMilliseconds: 30),
            .train(TrainPacket(session: 2, train: 1, index: 3, count: 64)),
            .report(
                TrainReport(
                    session: 2, train: 1, received: 60, tail: Bandwidth(bytesPerSecond: 1.25e7),
                    head: Bandwidth(bytesPerSecond: 2.5e7), span: .milliseconds(4))),
            .finish(session: 2), .ask(target: 0x0102_0304_0506_0708), .site(.taken),
        ]
    }

    static let capability = Capability(
        name: "desk", cores: 8, memoryBytes: 16 << 30, flopsPerSecond: 1e11, diskFreeBytes: 1 << 40,
        gpus: ["NVIDIA GeForce RTX 4090"], onBattery: true, software: "0.1.0")

    static var links: LinksPage {
        let reports = (0..<UInt64(LinksPage.capacity)).map { index in
            LinkReport(
                peer: FuzzSamples.peer(index), minimumRoundTrip: .milliseconds(Int64(index) + 1),
                jitter: .microseconds(300), loss: 0.01, receiveBandwidth: Bandwidth(megabits: 100),
                sendBandwidth: Bandwidth(megabits: 20), confidence: .fine, samples: 9)
        }
        return LinksPage(reports: reports.sorted { $0.prefix < $1.prefix })
    }
}

extension Bandwidth {
    fileprivate init(megabits: Double) { self.init(bitsPerSecond: megabits * 1e6) }
}
