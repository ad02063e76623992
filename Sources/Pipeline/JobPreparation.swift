package import Primitives
package import Shards
package import Wire

/// One attempt at a job: after a failure the job goes on under a new attempt, and what is left on the way from an older
/// one is recognised and dropped.
package struct RunID: Hashable, Comparable, Sendable {
    /// Chosen at random by the coordinator.
    package var job: UInt64
    package var attempt: UInt32

    package init(job: UInt64, attempt: UInt32) {
        self.job = job
        self.attempt = attempt
    }

    package static func < (left: RunID, right: RunID) -> Bool { (left.job, left.attempt) < (right.job, right.attempt) }
}

extension RunID: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(job)
        writer.write(attempt)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        job = try reader.read()
        attempt = try reader.read()
    }
}

/// What the coordinator asks of every stage worker before a run: the whole job, signed.
package struct JobPreparation: Hashable, Sendable {
    package static let signatureContext = "job preparation 1"

    package let run: RunID
    package let coordinator: PeerID
    package let spec: JobSpec
    /// The training text.
    package let data: ShardID
    package let layout: PipelineLayout
    /// The encoded plan that the layout comes from, for the worker to check against its own graph; may be empty.
    package let plan: [UInt8]
    /// Where to go on; `nil` to start from the seed.
    package let checkpoint: CheckpointManifest?
    /// Ed25519 signature of the coordinator over the encoding of everything before it.
    package let signature: [UInt8]

    /// Signs a preparation as its coordinator.
    package init(
        run: RunID, spec: JobSpec, data: ShardID, layout: PipelineLayout, plan: [UInt8],
        checkpoint: CheckpointManifest?, signer: Signer
    ) {
        self.run = run
        coordinator = signer.peer
        self.spec = spec
        self.data = data
        self.layout = layout
        self.plan = plan
        self.checkpoint = checkpoint
        let body = Self.body(run, signer.peer, spec, data, layout, plan, checkpoint)
        signature = signer.sign(body, Self.signatureContext)
    }

    /// The first step of the run.
    package var firstStep: UInt64 { checkpoint?.step ?? 0 }

    /// Whether the coordinator signed it, it is the peer that sent it, and the layout computes the job.
    package func isAcceptable(from sender: PeerID, _ signer: Signer) -> Bool {
        let body = Self.body(run, coordinator, spec, data, layout, plan, checkpoint)
        return sender == coordinator
            && (checkpoint.map { $0.spec == spec && $0.step <= spec.steps } ?? true)
            && (try? layout.validate(layerCount: spec.model.layers, microBatchCount: spec.microBatchCount)) != nil
            && signer.verify(coordinator, signature, body, Self.signatureContext)
    }

    private static func body(
        _ run: RunID, _ coordinator: PeerID, _ spec: JobSpec, _ data: ShardID, _ layout: PipelineLayout,
        _ plan: [UInt8], _ checkpoint: CheckpointManifest?
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.write(run)
        writer.write(coordinator)
        writer.write(spec)
        writer.write(data)
        writer.write(layout)
        writer.write(plan)
        writer.writeOptional(checkpoint) { $0.write($1) }
        return writer.bytes
    }
}

extension JobPreparation: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.writeRaw(Self.body(run, coordinator, spec, data, layout, plan, checkpoint))
        writer.writeRaw(signature)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        run = try reader.read(RunID.self)
        coordinator = try reader.readPeer()
        spec = try reader.read(JobSpec.self)
        data = try reader.read(ShardID.self)
        layout = try reader.read(PipelineLayout.self)
        plan = try reader.readBytes(maximum: Limits.planBytes)
        checkpoint = try reader.readOptional { (reader: inout WireReader) throws(WireError) in
            try reader.read(CheckpointManifest.self)
        }
        signature = try reader.readRaw(IdentityKey.signatureByteCount)
    }
}
