package import Primitives

/// Everything that one stage does between its last backward pass and its optimiser step: an `AllReduce` for each segment it
/// belongs to, and, on the ends of a split model, the exchange of the tied weight's two gradients.
///
/// Feed it `begin` with `TrainingStage.takePartials(of: parts)` and the gradient messages of the run; `finished` is what
/// `TrainingStage.apply` takes. One value serves all steps of a run.
package struct GradientExchange: ProtocolCore {
    package struct Configuration: Sendable {
        package var run: RunID
        package var layout: PipelineLayout
        /// This stage's peer, one of the layout's.
        package var peer: PeerID
        package var codec: TensorCodec
        package var firstStep: UInt64
        /// Most elements in a message; the same on every peer of the run.
        package var chunkElements = 1 << 18

        package init(run: RunID, layout: PipelineLayout, peer: PeerID, codec: TensorCodec, firstStep: UInt64) {
            self.run = run
            self.layout = layout
            self.peer = peer
            self.codec = codec
            self.firstStep = firstStep
        }
    }

    package enum Input: Sendable {
        /// The step's partial sums, for each of `parts`.
        case begin(step: UInt64, [[GradientPartial]])
        /// A message of the run; other kinds than gradients are refused.
        case message(JobMessage, from: PeerID)
    }

    package enum Effect: Sendable {
        case send(JobMessage, to: PeerID)
        /// The gradient of each part summed over the step, and the tied weight's other one where `apply` needs it.
        case finished(step: UInt64, [(part: ModelPart, values: [Float])], tied: [Float]?)
        /// A peer said something that makes no sense; the run cannot go on with it.
        case refused(PeerID, String)
    }

    /// The other end of this stage's pipeline, and what the two tell each other.
    private struct Tie {
        let other: PeerID
        let ownSegment: Int
        let otherSegment: Int
        let elementCount: Int
        /// For the step being done and the next: the other end's gradient as far as it has come.
        var received: [(step: UInt64, values: [Float])] = []
    }

    package let configuration: Configuration
    /// The segments that this stage belongs to, in order.
    package let segments: [ReduceSegment]
    private var reduces: [AllReduce]
    private var sums: [[Float]?]
    private var tie: Tie?
    private var step: UInt64

    /// - Parameter elementCount: the length of a part's flat gradient (`TrainingStage.gradientCount(of:)`).
    /// - Returns: `nil` if the peer is not in the layout or a part has no length.
    package init?(_ configuration: Configuration, elementCount: (ModelPart) -> Int?) {
        let own = configuration.peer
        guard let position = configuration.layout.position(of: own) else { return nil }
        self.configuration = configuration
        segments = ReduceSegment.segments(of: configuration.layout).filter { $0.rank(of: own) != nil }
        step = configuration.firstStep
        reduces = []
        for segment in segments {
            guard let rank = segment.rank(of: own), let count = elementCount(segment.part) else { return nil }
            var reduce = AllReduce.Configuration(
                rank: rank, shares: segment.shares, elementCount: count, codec: configuration.codec)
            reduce.chunkElements = configuration.chunkElements
            reduces.append(AllReduce(reduce, firstStep: configuration.firstStep))
        }
        sums = Array(repeating: nil, count: segments.count)
        let stages = configuration.layout.pipelines[position.pipeline].stages
        guard position.isFirst != position.isLast, let end = position.isFirst ? stages.last : stages.first else {
            return
        }
        guard let tied = segments.first(where: { $0.part == .tokenEmbedding || $0.part == .outputHead }),
            let count = elementCount(tied.part)
        else { return nil }
        tie = Tie(other: end.peer, ownSegment: tied.id, otherSegment: 1 - tied.id, elementCount: count)
    }

    /// The parts whose partial sums `begin` takes, in order.
    package var parts: [ModelPart] { segments.map(\.part) }

    package var nextDeadline: Instant? { nil }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .begin(let step, let partials):
            guard step == self.step, partials.count == segments.count else {
                return effects.append(.refused(configuration.peer, "the sums of step \(step) do not fit this stage"))
            }
            for index in segments.indices {
                advance(index, .begin(step: step, partials[index]), at: now, into: &effects)
            }
        case .message(let message, let peer):
            receive(message, from: peer, at: now, into: &effects)
        }
        finishIfComplete(into: &effects)
    }

    private mutating func receive(
        _ message: JobMessage, from peer: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard message.run == configuration.run else { return }
        switch message {
        case .reducePart(_, let segment, let chunk), .reducedPart(_, let segment, let chunk):
            guard let index = segments.firstIndex(where: { $0.id == segment }),
                let rank = segments[index].rank(of: peer)
            else { return effects.append(.refused(peer, "it is not a member of segment \(segment)")) }
            if case .reducePart = message {
                advance(index, .part(chunk, rank: rank), at: now, into: &effects)
            } else {
                advance(index, .reduced(chunk, rank: rank), at: now, into: &effects)
            }
        case .tiedGradient(_, let segment, let chunk):
            if !takeTied(chunk, segment: segment, from: peer) {
                effects.append(.refused(peer, "its part of the tied gradient does not fit"))
            }
        default:
            effects.append(.refused(peer, "a message that is not about gradients"))
        }
    }

    private mutating func advance(
        _ index: Int, _ input: AllReduce.Input, at now: Instant, into effects: inout [Effect]
    ) {
        let (run, segment) = (configuration.run, segments[index])
        var produced: [AllReduce.Effect] = []
        reduces[index].handle(input, at: now, into: &produced)
        for effect in produced {
            switch effect {
            case .sendPart(let chunk, let rank):
                effects.append(.send(.reducePart(run, segment: segment.id, chunk), to: segment.members[rank]))
            case .sendReduced(let chunk, let rank):
                effects.append(.send(.reducedPart(run, segment: segment.id, chunk), to: segment.members[rank]))
            case .finished(let step, let sum):
                sums[index] = sum
                sendTied(segment.id, step: step, sum, into: &effects)
            case .refused(let rank, let error):
                effects.append(.refused(segment.members[rank], "a gradient chunk was refused: \(error)"))
            }
        }
    }

    // MARK: The tied weight

    private func sendTied(_ segment: Int, step: UInt64, _ sum: [Float], into effects: inout [Effect]) {
        guard let tie, tie.ownSegment == segment else { return }
        for start in stride(from: 0, to: sum.count, by: configuration.chunkElements) {
            let range = start..<min(start + configuration.chunkElements, sum.count)
            let chunk = ReduceChunk(
                step: step, node: wholeStep, offset: start, values: sum[range], codec: configuration.codec)
            effects.append(.send(.tiedGradient(configuration.run, segment: segment, chunk), to: tie.other))
        }
    }

    private var wholeStep: Range<Int> { 0..<(configuration.layout.pipelines.last?.microBatches.upperBound ?? 0) }

    /// Appends a chunk, which must follow the one before; false if it makes no sense.
    private mutating func takeTied(_ chunk: ReduceChunk, segment: Int, from peer: PeerID) -> Bool {
        guard var tie, peer == tie.other, segment == tie.otherSegment, chunk.node == wholeStep,
            chunk.step == step || chunk.step == step + 1, chunk.codec == configuration.codec, chunk.count > 0
        else { return false }
        let index =
            tie.received.firstIndex { $0.step == chunk.step }
            ?? {
                tie.received.append((chunk.step, []))
                return tie.received.count - 1
            }()
        guard chunk.offset == tie.received[index].values.count,
            chunk.count <= tie.elementCount - chunk.offset, let values = try? chunk.values()
        else { return false }
        tie.received[index].values += values
        self.tie = tie
        return true
    }

    private mutating func finishIfComplete(into effects: inout [Effect]) {
        guard sums.allSatisfy({ $0 != nil }) else { return }
        var tied: [Float]?
        if let tie {
            guard let received = tie.received.first(where: { $0.step == step }),
                received.values.count == tie.elementCount
            else { return }
            tied = received.values
            self.tie?.received.removeAll { $0.step == step }
        }
        let result = zip(segments, sums).map { (part: $0.part, values: $1 ?? []) }
        sums = Array(repeating: nil, count: segments.count)
        effects.append(.finished(step: step, result, tied: tied))
        step += 1
    }
}
