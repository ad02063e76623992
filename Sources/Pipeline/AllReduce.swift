package import Primitives
package import Wire

/// Part of a flat gradient on its way between the members of a reduce segment.
package struct ReduceChunk: Hashable, Sendable {
    package var step: UInt64
    /// The micro-batches summed in it: a node of the canonical tree, or all of them once reduced.
    package var node: Range<Int>
    /// Where it starts in the segment's flat gradient, in elements.
    package var offset: Int
    /// How many elements it has.
    package var count: Int
    package var codec: TensorCodec
    package var payload: [UInt8]

    package init(step: UInt64, node: Range<Int>, offset: Int, count: Int, codec: TensorCodec, payload: [UInt8]) {
        self.step = step
        self.node = node
        self.offset = offset
        self.count = count
        self.codec = codec
        self.payload = payload
    }
}

extension ReduceChunk {
    /// Elements that share a scale in a chunk written as scaled bytes.
    package static let rowLength = 256

    /// The chunk of these values.
    package init(
        step: UInt64, node: Range<Int>, offset: Int, values: some RandomAccessCollection<Float>, codec: TensorCodec
    ) {
        self.init(
            step: step, node: node, offset: offset, count: values.count, codec: codec,
            payload: codec.encode(values, rowLength: Self.rowLength))
    }

    /// The values, `count` of them.
    package func values() throws(WireError) -> [Float] {
        try codec.decode(payload, elements: count, rowLength: Self.rowLength)
    }
}

extension ReduceChunk: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(step)
        writer.write(node, maximum: Limits.microBatchesPerStep)
        writer.write(UInt64(offset))
        writer.writeVarint(UInt64(count))
        writer.write(codec)
        writer.writeRaw(payload)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        step = try reader.read()
        node = try reader.readRange(maximum: Limits.microBatchesPerStep)
        let offset: UInt64 = try reader.read()
        guard offset <= UInt64(Int64.max) / 2 else { throw .outOfRange }
        self.offset = Int(offset)
        count = try reader.readCount(maximum: Limits.tensorElements)
        codec = try reader.read(TensorCodec.self)
        let size = codec.byteCount(elements: count, rowLength: Self.rowLength)
        guard size <= Limits.tensorBytes else { throw .outOfRange }
        payload = try reader.readRaw(size)
    }
}

/// Sums the gradient of a reduce segment over its members, to the same bits whoever has which micro-batches.
///
/// Rank r owns the r-th slice of the flat gradient. Every member sends the owner its partial sums of the slice (reduce-
/// scatter); the owner adds them along the canonical tree and sends the sum to everyone (all-gather). Both travel in
/// chunks, and a chunk is passed on as soon as all partial sums of it are there, so the two phases overlap. One value serves
/// all steps of a job; a member may be one step ahead.
package struct AllReduce: ProtocolCore {
    package struct Configuration: Sendable {
        /// This member's rank.
        package var rank: Int
        /// The micro-batches of each rank; together they are all of the step's.
        package var shares: [Range<Int>]
        /// Elements of the flat gradient.
        package var elementCount: Int
        package var codec: TensorCodec
        /// Most elements in a message: 1 MiB of single precision. The same on every member.
        package var chunkElements = 1 << 18

        package init(rank: Int, shares: [Range<Int>], elementCount: Int, codec: TensorCodec = .f32) {
            self.rank = rank
            self.shares = shares
            self.elementCount = elementCount
            self.codec = codec
        }
    }

    package enum Input: Sendable {
        /// This member's partial sums of the step (`GradientTree.takePartials`).
        case begin(step: UInt64, [GradientPartial])
        /// A partial sum for this member's slice.
        case part(ReduceChunk, rank: Int)
        /// A reduced chunk of another member's slice.
        case reduced(ReduceChunk, rank: Int)
    }

    package enum Effect: Sendable {
        /// Send a partial sum to the owner of its slice.
        case sendPart(ReduceChunk, rank: Int)
        /// Send a reduced chunk of this member's slice.
        case sendReduced(ReduceChunk, rank: Int)
        /// The whole gradient, summed over all micro-batches of the step (not divided by their number).
        case finished(step: UInt64, sum: [Float])
        /// The member said something that makes no sense; the job cannot go on with it.
        case refused(rank: Int, AllReduceError)
    }

    private struct Round {
        let step: UInt64
        var own: [GradientPartial]?
        /// For each chunk of this member's slice, the partial sums received so far; emptied once reduced.
        var parts: [[GradientPartial]]
        var isReduced: [Bool]
        var result: [Float] = []
        /// For each rank, which chunks of its slice have arrived.
        var arrived: [Set<Int>]
        var openChunks: Int
    }

    package let configuration: Configuration
    private let tree: CanonicalTree
    private let nodes: [[Range<Int>]]  // a rank: the nodes that it contributes
    /// The step that finishes next.
    package private(set) var step: UInt64
    private var rounds: [Round] = []  // of `step` and the one after, as far as anything is known of them

    /// `firstStep` is the first step that will be reduced.
    package init(_ configuration: Configuration, firstStep: UInt64) {
        self.configuration = configuration
        let microBatchCount = configuration.shares.map(\.upperBound).max() ?? 1
        let tree = CanonicalTree(count: microBatchCount)
        self.tree = tree
        nodes = configuration.shares.map { tree.nodes(covering: $0) }
        step = firstStep
    }

    package var nextDeadline: Instant? { nil }

    /// The elements that a rank reduces.
    package func slice(of rank: Int) -> Range<Int> {
        let (count, ranks) = (configuration.elementCount, configuration.shares.count)
        return (count * rank / ranks)..<(count * (rank + 1) / ranks)
    }

    private func chunkCount(of rank: Int) -> Int {
        (slice(of: rank).count + configuration.chunkElements - 1) / configuration.chunkElements
    }

    private func chunk(_ position: Int, of rank: Int) -> Range<Int> {
        let slice = slice(of: rank)
        let start = slice.lowerBound + position * configuration.chunkElements
        return start..<min(start + configuration.chunkElements, slice.upperBound)
    }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .begin(let step, let partials): begin(step, partials, into: &effects)
        case .part(let chunk, let rank):
            if let error = takePart(chunk, from: rank, into: &effects) {
                effects.append(.refused(rank: rank, error))
            }
        case .reduced(let chunk, let rank):
            if let error = takeReduced(chunk, from: rank) { effects.append(.refused(rank: rank, error)) }
        }
        finishRound(into: &effects)
    }

    /// The position of the step's round, made when first needed; `nil` if the step is not this one or the next.
    private mutating func round(of step: UInt64) -> Int? {
        if let position = rounds.firstIndex(where: { $0.step == step }) { return position }
        guard step == self.step || step == self.step + 1 else { return nil }
        let chunkCounts = configuration.shares.indices.map { chunkCount(of: $0) }
        let own = chunkCounts[configuration.rank]
        rounds.append(
            Round(
                step: step, parts: Array(repeating: [], count: own), isReduced: Array(repeating: false, count: own),
                arrived: Array(repeating: [], count: chunkCounts.count), openChunks: chunkCounts.reduce(0, +)))
        rounds.sort { $0.step < $1.step }
        return rounds.firstIndex { $0.step == step }
    }

    private mutating func begin(_ step: UInt64, _ partials: [GradientPartial], into effects: inout [Effect]) {
        let rank = configuration.rank
        guard step == self.step, let round = round(of: step), rounds[round].own == nil,
            partials.map(\.node) == nodes[rank],
            partials.allSatisfy({ $0.values.count == configuration.elementCount })
        else { return effects.append(.refused(rank: rank, .wrongPartials)) }
        rounds[round].own = partials
        rounds[round].result = Array(repeating: 0, count: configuration.elementCount)
        // Every member starts with a different owner, so that no owner is everyone's first.
        for distance in 1..<max(configuration.shares.count, 1) {
            let owner = (rank + distance) % configuration.shares.count
            for position in 0..<chunkCount(of: owner) {
                let range = chunk(position, of: owner)
                for partial in partials {
                    let chunk = ReduceChunk(
                        step: step, node: partial.node, offset: range.lowerBound, values: partial.values[range],
                        codec: configuration.codec)
                    effects.append(.sendPart(chunk, rank: owner))
                }
            }
        }
        for position in 0..<chunkCount(of: rank) { reduce(position, of: round, into: &effects) }
    }

    private mutating func takePart(
        _ chunk: ReduceChunk, from rank: Int, into effects: inout [Effect]
    ) -> AllReduceError? {
        guard nodes.indices.contains(rank), rank != configuration.rank, nodes[rank].contains(chunk.node) else {
            return .notAMember
        }
        guard let position = position(of: chunk, in: configuration.rank) else { return .wrongChunk }
        guard let round = round(of: chunk.step) else { return .wrongStep }
        guard !rounds[round].isReduced[position],
            !rounds[round].parts[position].contains(where: { $0.node == chunk.node })
        else { return .repeated }
        guard let values = try? chunk.values() else { return .wrongChunk }
        rounds[round].parts[position].append(GradientPartial(node: chunk.node, values: values))
        reduce(position, of: round, into: &effects)
        return nil
    }

    /// Reduces a chunk of this member's slice if everything for it is there, and sends it to the others.
    private mutating func reduce(_ position: Int, of round: Int, into effects: inout [Effect]) {
        let rank = configuration.rank
        guard let own = rounds[round].own, !rounds[round].isReduced[position] else { return }
        let expected = nodes.map(\.count).reduce(0, +) - nodes[rank].count
        guard rounds[round].parts[position].count == expected else { return }
        let range = chunk(position, of: rank)
        let partials =
            rounds[round].parts[position]
            + own.map { GradientPartial(node: $0.node, values: Array($0.values[range])) }
        rounds[round].parts[position] = []
        guard let sum = GradientTree.combine(microBatchCount: tree.count, partials) else {
            return effects.append(.refused(rank: rank, .wrongPartials))
        }
        let chunk = ReduceChunk(
            step: rounds[round].step, node: 0..<tree.count, offset: range.lowerBound, values: sum,
            codec: configuration.codec)
        for distance in 1..<max(nodes.count, 1) {
            effects.append(.sendReduced(chunk, rank: (rank + distance) % nodes.count))
        }
        // With a lossy codec the owner must use what the others will see, or the replicas drift apart.
        let agreed = configuration.codec == .f32 ? sum : ((try? chunk.values()) ?? sum)
        rounds[round].result.replaceSubrange(range, with: agreed)
        rounds[round].isReduced[position] = true
        rounds[round].openChunks -= 1
    }

    private mutating func takeReduced(_ chunk: ReduceChunk, from rank: Int) -> AllReduceError? {
        guard nodes.indices.contains(rank), rank != configuration.rank, chunk.node == 0..<tree.count else {
            return .notAMember
        }
        guard let position = position(of: chunk, in: rank) else { return .wrongChunk }
        // Nobody can have reduced a step that this member has not contributed to.
        guard let round = rounds.firstIndex(where: { $0.step == chunk.step }), rounds[round].own != nil else {
            return .wrongStep
        }
        guard !rounds[round].arrived[rank].contains(position) else { return .repeated }
        guard let values = try? chunk.values() else { return .wrongChunk }
        rounds[round].arrived[rank].insert(position)
        rounds[round].result.replaceSubrange(chunk.offset..<(chunk.offset + chunk.count), with: values)
        rounds[round].openChunks -= 1
        return nil
    }

    /// Which chunk of the rank's slice this is; `nil` if its bounds or codec are not those of any.
    private func position(of chunk: ReduceChunk, in rank: Int) -> Int? {
        let slice = slice(of: rank)
        guard chunk.codec == configuration.codec, slice.contains(chunk.offset) else { return nil }
        let (position, rest) = (chunk.offset - slice.lowerBound).quotientAndRemainder(
            dividingBy: configuration.chunkElements)
        let count = min(configuration.chunkElements, slice.upperBound - chunk.offset)
        return rest == 0 && chunk.count == count ? position : nil
    }

    private mutating func finishRound(into effects: inout [Effect]) {
        guard let round = rounds.first, round.step == step, round.own != nil, round.openChunks == 0 else { return }
        rounds.removeFirst()
        step += 1
        effects.append(.finished(step: round.step, sum: round.result))
    }
}

/// Why a chunk was refused.
package enum AllReduceError: Error, Hashable, Sendable {
    /// The sender is not in the segment, or the micro-batches are not its own.
    case notAMember
    /// Offset, length, codec or payload is not that of a chunk of the slice.
    case wrongChunk
    /// The step is over, or too far ahead.
    case wrongStep
    /// The chunk had been received already.
    case repeated
    /// This member's own partial sums do not fit its share.
    case wrongPartials
}
