internal import Foundation
internal import Noise
internal import Overlay
internal import Pipeline
internal import Primitives
internal import Shards
internal import Topology
internal import Wire

extension Node: NodeControl {
    package func status() async throws -> NodeStatus {
        let members = await members()
        let snapshot = try await snapshot()
        let links = LiveGraph(snapshot).linkCounts
        let reach = try await driver.read { ($0.record.contact.addresses, $0.observedAddresses, $0.natKind) }
        let timers = try await driver.read { MembershipView($0.timerProfile, $0.localHealth, $0.liveCount) }
        let capability =
            capability
            ?? Capability(
                name: configuration.name, cores: 0, memoryBytes: 0, flopsPerSecond: 0, diskFreeBytes: 0,
                software: configuration.version)
        return NodeStatus(
            peer: identity.peer, name: configuration.name, swarm: swarmName, version: configuration.version,
            processID: Int(ProcessInfo.processInfo.processIdentifier), stateDirectory: configuration.state.path,
            uptimeSeconds: (MonotonicClock.now - startedAt).seconds, listenAddress: listenAddress.description,
            addresses: reach.0.map(\.description), observedAddresses: reach.1.map(\.description),
            natKind: reach.2.rawValue, alivePeers: members.count { $0.state.isLive },
            knownPeers: members.count, membership: timers, graphDigest: snapshot.digest.description,
            measuredLinks: links.measured, totalLinks: links.total,
            capability: CapabilityView(capability), traffic: await traffic(),
            admission: await admissionState(), job: await participant?.view,
            identityConflict: identityWarnings.view(at: MonotonicClock.now),
            identitiesUsedTwice: identityWarnings.membersUsedTwice(at: MonotonicClock.now))
    }

    package func refreshMetrics() async {
        guard !isStopping, let status = try? await status() else { return }
        let sample = NodeMetrics.Sample(status: status, sessions: await endpoint.counters(), streams: hub.counters)
        metrics.record(sample)
    }

    private func traffic() async -> TrafficView {
        let sessions = await endpoint.counters()
        let streams = hub.counters
        let drops = (try? await driver.read { $0.counters.all.reduce(0) { $0 + $1.count } }) ?? 0
        return TrafficView(
            datagramBytesSent: sessions.bytesSent, datagramBytesReceived: sessions.bytesReceived,
            streamBytesSent: streams.reduce(0) { $0 + $1.bytesSent },
            streamBytesReceived: streams.reduce(0) { $0 + $1.bytesReceived },
            datagramsDropped: SessionDrop.allCases.reduce(drops) { $0 + sessions[$1] })
    }

    package func peers() async throws -> PeerListing {
        let members = await members()
        let snapshot = try await snapshot()
        let now = MonotonicClock.now
        let own = identity.peer
        let admissions = try await admissions()
        let revoked = Set(admissions.members.filter { $0.state == .revoked }.map(\.peer))
        let ordered = members.filter { $0.peer == own } + members.filter { $0.peer != own }
        return PeerListing(
            peers: ordered.map { member in
                let capability = snapshot.capability(of: member.peer)
                return PeerView(
                    peer: member.peer, name: capability?.name ?? "",
                    state: revoked.contains(member.peer.description) ? .revoked : PeerView.State(member.state),
                    isSelf: member.peer == own, address: member.record.contact.addresses.first?.description,
                    roundTripSeconds: member.roundTrip?.seconds, stateSeconds: (now - member.since).seconds,
                    incarnation: member.record.incarnation, capability: capability.map { CapabilityView($0) })
            })
    }

    package func ping(_ request: PingRequest) async throws -> AsyncThrowingStream<PingReply, any Error> {
        let peer = try await member(request.peer)
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: PingReply.self, throwing: (any Error).self)
        let task = Task {
            var sequence = 0
            while !Task.isCancelled, request.count.map({ sequence < $0 }) ?? true {
                let roundTrip = await self.pingOnce(peer)
                let address = await self.endpoint.address(of: peer)
                continuation.yield(
                    PingReply(
                        sequence: sequence, address: address?.description, roundTripSeconds: roundTrip?.seconds))
                sequence += 1
                guard request.count.map({ sequence < $0 }) ?? true else { break }
                try? await Task.sleep(for: .seconds(min(max(request.intervalSeconds, 0.01), 3600)))
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    private func pingOnce(_ peer: PeerID) async -> Duration? {
        guard !isStopping else { return nil }
        return await withCheckedContinuation { continuation in
            pingWaiters[peer, default: []].append(continuation)
            driver.input(.ping(peer))
        }
    }

    package func probe(_ request: ProbeRequest) async throws -> ProbeReport {
        let peer = try await member(request.peer)
        let start = MonotonicClock.now
        let measuresAvailable = request.measuresAvailable ?? false
        var isMeasured = await probeOnce(peer)
        if isMeasured, measuresAvailable { isMeasured = await availableOnce(peer) }
        guard isMeasured, let link = try await driver.read({ $0.link(to: peer) }) else {
            let name = await name(of: peer)
            throw NodeControlError(.unavailable, "\(name) did not take part in a measurement: try again in a while")
        }
        func rate(_ bandwidth: Bandwidth?) -> Double? {
            bandwidth.flatMap { $0 > .zero ? $0.bytesPerSecond : nil }
        }
        return ProbeReport(
            peer: peer, name: await name(of: peer), minimumRoundTripSeconds: link.roundTrip.minimum?.seconds,
            jitterSeconds: link.roundTrip.jitter.seconds, lossFraction: link.loss.fraction,
            sendBytesPerSecond: rate(link.sendBandwidth), receiveBytesPerSecond: rate(link.receiveBandwidth),
            sendBurstBytesPerSecond: rate(link.sendBurst), receiveBurstBytesPerSecond: rate(link.receiveBurst),
            sendAvailableBytesPerSecond: measuresAvailable ? rate(link.sendAvailable) : nil,
            receiveAvailableBytesPerSecond: measuresAvailable ? rate(link.receiveAvailable) : nil,
            samples: link.trains, elapsedSeconds: (MonotonicClock.now - start).seconds)
    }

    /// Waits for the next measurement of a link, which it asks for; `false` if there was none.
    private func probeOnce(_ peer: PeerID) async -> Bool {
        guard !isStopping else { return false }
        return await withCheckedContinuation { continuation in
            probeWaiters[peer, default: []].append(continuation)
            driver.input(.measure(peer))
        }
    }

    /// The same for the available bandwidth.
    private func availableOnce(_ peer: PeerID) async -> Bool {
        guard !isStopping else { return false }
        return await withCheckedContinuation { continuation in
            availableWaiters[peer, default: []].append(continuation)
            driver.input(.measureAvailable(peer))
        }
    }

    private func member(_ text: String) async throws -> PeerID {
        guard let peer = PeerID(text), peer != identity.peer, await members().contains(where: { $0.peer == peer })
        else { throw NodeControlError(.notFound, "no other peer '\(text)' in this swarm: `weft peers` lists them") }
        return peer
    }

    package func plan(_ request: PlanRequest) async throws -> PlanView {
        do {
            var spec = try JobDocument(json: request.document).spec()
            spec.stages = request.stages ?? spec.stages
            spec.replicas = request.replicas ?? spec.replicas
            guard let objective = PlanningObjective(rawValue: request.objective) else {
                throw NodeControlError(.invalidRequest, "there is no objective '\(request.objective)'")
            }
            let options = PlannerOptions(objective: objective, seed: request.seed)
            let limit = Duration.seconds(min(max(request.timeLimitSeconds, 0.01), 86_400))
            let (job, explain) = (spec, request.explain)
            return try await verifiedPlan(
                job, options, limit: limit,
                rounds: min(max(0, request.verificationRounds ?? PlanVerification.Options().rounds), 3)
            ).view(explained: explain)
        } catch let error as NodeControlError {
            throw error
        } catch { throw NodeControlError(.invalidRequest, "\(error)") }
    }

    package func addShard(_ request: ShardAddRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        let store = shardStore
        let total = try FileManager.default.attributesOfItem(atPath: request.path)[.size] as? UInt64 ?? 0
        return Self.events { report in
            let name = request.name ?? URL(filePath: request.path).lastPathComponent
            let manifest = try store.add(file: request.path, name: name) { done in
                report(.progress(.init(doneBytes: done, totalBytes: total, bytesPerSecond: 0, sources: 0)))
            }
            return ShardView(manifest, heldPieces: manifest.pieceCount, path: nil)
        }
    }

    package func fetchShard(_ request: ShardFetchRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        guard let id = ShardID(request.shard) else {
            throw NodeControlError(.invalidRequest, "'\(request.shard)' is not a shard: `weft shard ls` prints them")
        }
        let own = identity.peer
        let sources = await members().filter { $0.state.isLive && $0.peer != own }.map(\.peer)
        let (service, store) = (shardService, shardStore)
        return Self.events { report in
            let start = MonotonicClock.now
            let manifest = try await service.fetch(id, from: sources) { progress in
                let seconds = max((MonotonicClock.now - start).seconds, 1e-6)
                report(
                    .progress(
                        .init(
                            doneBytes: progress.doneBytes, totalBytes: progress.totalBytes,
                            bytesPerSecond: Double(progress.doneBytes) / seconds, sources: progress.sources)))
            }
            if let path = request.outputPath { _ = try store.export(id, to: path) }
            return ShardView(manifest, heldPieces: manifest.pieceCount, path: request.outputPath)
        }
    }

    package func shards() async throws -> ShardListing {
        ShardListing(
            shards: shardStore.list.map { ShardView($0.manifest, heldPieces: $0.held.heldCount, path: nil) })
    }

    /// A stream of a task's progress that ends with its result; ending the stream cancels the task.
    private static func events(
        _ body: @escaping @Sendable (_ report: @escaping @Sendable (ShardEvent) -> Void) async throws -> ShardView
    ) -> AsyncThrowingStream<ShardEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ShardEvent.self, throwing: (any Error).self)
        let task = Task {
            do {
                continuation.yield(.finished(try await body { continuation.yield($0) }))
                continuation.finish()
            } catch { continuation.finish(throwing: NodeControlError(.failed, "\(error)")) }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    package func leave() async throws {
        // Ends the process with a farewell; the order to end comes back through `stop(leaving:)`.
        requestShutdown()
    }

    package func shutdown() async throws { requestShutdown() }
}

extension PeerView.State {
    /// The word for a membership state.
    init(_ state: Member.State) {
        self =
            switch state {
            case .alive: .alive
            case .suspect: .suspect
            case .dead: .dead
            case .left: .left
            }
    }
}

extension ShardView {
    /// A shard as the store knows it.
    init(_ manifest: ShardManifest, heldPieces: Int, path: String?) {
        self.init(
            shard: manifest.id.description, name: manifest.name, bytes: manifest.byteCount,
            pieces: manifest.pieceCount, heldPieces: heldPieces, path: path)
    }
}

extension MembershipView {
    /// What a node's core goes by.
    fileprivate init(_ profile: TimerProfile, _ health: LocalHealth, _ liveCount: Int) {
        self.init(
            profile: profile.kind.rawValue, nearRoundTripSeconds: profile.roundTrips?.near.seconds,
            medianRoundTripSeconds: profile.roundTrips?.median.seconds,
            farRoundTripSeconds: profile.roundTrips?.far.seconds,
            helperTimeoutSeconds: profile.minimumIndirectTimeout.seconds,
            suspicionSeconds: profile.minimumSuspicion(count: liveCount).seconds, localHealth: health.score)
    }
}
