import Pipeline
import Primitives
import Testing

/// Numbers of very different size, so that another order of addition gives other bits.
func gradients(count: Int, length: Int, seed: UInt64) -> [[Float]] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
        (0..<length).map { _ in
            Float(generator.unit() - 0.5) * [1, 1e-3, 1e4, 37][generator.index(below: 4)]
        }
    }
}

/// Ascending bounds that cut 0..<count into non-empty parts.
func randomCuts(_ count: Int, parts: Int, _ generator: inout SeededGenerator) -> [Range<Int>] {
    var inner = Array(1..<max(count, 1))
    generator.shuffle(&inner)
    let bounds = [0] + inner.prefix(parts - 1).sorted() + [count]
    return zip(bounds, bounds.dropFirst()).map { $0..<$1 }
}

@Suite("The gradient tree")
struct GradientTreeTests {
    @Test("any split over replicas gives the same bits")
    func anySplit() throws {
        var orderMatters = false
        for seed in 0..<60 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let count = 1 + generator.index(below: 40)
            let values = gradients(count: count, length: 5, seed: seed)
            var whole = GradientTree(microBatchCount: count, range: 0..<count)
            for value in values { whole.add(value) }
            let expected = whole.partials
            try #require(expected.map(\.node) == [0..<count])
            let cuts = randomCuts(count, parts: 1 + generator.index(below: min(count, 6)), &generator)
            var partials: [GradientPartial] = []
            for range in cuts {
                var part = GradientTree(microBatchCount: count, range: range)
                for index in range { part.add(values[index]) }
                #expect(part.isComplete)
                #expect(part.partials.map(\.node) == CanonicalTree(count: count).nodes(covering: range))
                partials += part.partials
            }
            generator.shuffle(&partials)
            let sum = try #require(GradientTree.combine(microBatchCount: count, partials))
            #expect(sum.map(\.bitPattern) == expected[0].values.map(\.bitPattern), "seed \(seed): \(cuts)")
            let plain = values.dropFirst().reduce(values[0]) { zip($0, $1).map(+) }
            orderMatters = orderMatters || plain != sum
        }
        #expect(orderMatters, "the values must be such that the order of addition shows")
    }

    @Test("keeps at most two buffers a level")
    func memory() {
        for count in [1, 7, 64, 100] {
            for start in stride(from: 0, to: count, by: 3) {
                var tree = GradientTree(microBatchCount: count, range: start..<count)
                var most = 0
                for _ in start..<count {
                    tree.add([1])
                    most = max(most, tree.partials.count)
                }
                let levels = Int.bitWidth - count.leadingZeroBitCount
                #expect(most <= 2 * levels, "\(most) buffers for \(count) from \(start)")
                #expect(tree.takePartials().reduce(0) { $0 + $1.values[0] } == Float(count - start))
                #expect(tree.partials.isEmpty && tree.next == start)
            }
        }
    }

    @Test("refuses partials that do not make up the tree")
    func incomplete() {
        let two = GradientPartial(node: 0..<2, values: [1])
        let third = GradientPartial(node: 2..<3, values: [1])
        #expect(GradientTree.combine(microBatchCount: 3, [two, third]) == [2])
        #expect(GradientTree.combine(microBatchCount: 3, [two]) == nil)
        #expect(GradientTree.combine(microBatchCount: 3, [two, third, third]) == nil)
        #expect(GradientTree.combine(microBatchCount: 3, []) == nil)
        #expect(GradientTree.combine(microBatchCount: 3, [two, GradientPartial(node: 2..<3, values: [1, 2])]) == nil)
    }

    @Test("a step's loss is the same however the reports come")
    func losses() throws {
        var generator = SeededGenerator(seed: 5)
        let phase = StepPhase(step: 3, pass: .training)
        let losses = (0..<13).map { _ in Float(generator.unit() * 5) }
        for parts in 1...6 {
            var reports = randomCuts(13, parts: parts, &generator).map {
                LossReport(phase: phase, firstMicroBatch: $0.lowerBound, losses: Array(losses[$0]))
            }
            generator.shuffle(&reports)
            var collector = LossCollector(phase: phase, count: 13)
            for report in reports {
                #expect(collector.loss == nil)
                let first = collector.add(report)
                let second = collector.add(report)
                #expect(first && !second, "a report counts once")
            }
            #expect(collector.loss?.bitPattern == LossReport.mean(losses).bitPattern)
        }
        let mean = losses.reduce(0, +) / 13
        #expect(abs(LossReport.mean(losses) - mean) < 1e-5)
    }
}

@Suite("The all-reduce")
struct AllReduceTests {
    /// Runs all members with messages in random order (in order between two members) and gives everyone's sums by step.
    private func run(
        shares: [Range<Int>], elementCount: Int, codec: TensorCodec, steps: UInt64, seed: UInt64,
        values: (UInt64, Int) -> [Float]
    ) -> [[[Float]]] {
        var generator = SeededGenerator(seed: seed)
        let microBatchCount = shares.map(\.upperBound).max() ?? 0
        var members = shares.indices.map { rank in
            var configuration = AllReduce.Configuration(
                rank: rank, shares: shares, elementCount: elementCount, codec: codec)
            configuration.chunkElements = 7
            return AllReduce(configuration, firstStep: 2)
        }
        var sums: [[[Float]]] = Array(repeating: [], count: shares.count)
        // A stream between each two members, and one input queue of its own for each member's beginnings.
        var streams: [[AllReduce.Input]] = Array(repeating: [], count: shares.count * (shares.count + 1))
        func begin(_ rank: Int, _ step: UInt64) {
            var tree = GradientTree(microBatchCount: microBatchCount, range: shares[rank])
            for index in shares[rank] { tree.add(values(step, index)) }
            streams[shares.count * shares.count + rank].append(.begin(step: step, tree.takePartials()))
        }
        for rank in shares.indices { begin(rank, 2) }
        while true {
            let ready = streams.indices.filter { !streams[$0].isEmpty }
            guard !ready.isEmpty else { break }
            let stream = ready[generator.index(below: ready.count)]
            let input = streams[stream].removeFirst()
            let rank = stream % shares.count
            var effects: [AllReduce.Effect] = []
            members[rank].handle(input, at: Instant(nanoseconds: 0), into: &effects)
            for effect in effects {
                switch effect {
                case .sendPart(let chunk, let to):
                    streams[rank * shares.count + to].append(.part(chunk, rank: rank))
                case .sendReduced(let chunk, let to):
                    streams[rank * shares.count + to].append(.reduced(chunk, rank: rank))
                case .finished(let step, let sum):
                    sums[rank].append(sum)
                    if step + 1 < 2 + steps { begin(rank, step + 1) }
                case .refused(let from, let error): Issue.record("rank \(rank) refuses rank \(from): \(error)")
                }
            }
        }
        return sums
    }

    @Test("gives every member the same bits as one process, for any ranks and shares")
    func sameBits() {
        for seed in 0..<40 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let count = 1 + generator.index(below: 12)
            let shares = randomCuts(count, parts: 1 + generator.index(below: min(count, 5)), &generator)
            let length = generator.index(below: 60)
            let all = (0..<3).map { gradients(count: count, length: length, seed: seed * 10 + $0) }
            let sums = run(shares: shares, elementCount: length, codec: .f32, steps: 3, seed: seed) {
                all[Int($0 - 2)][$1]
            }
            for step in 0..<3 {
                var whole = GradientTree(microBatchCount: count, range: 0..<count)
                for value in all[step] { whole.add(value) }
                let expected = whole.partials[0].values.map(\.bitPattern)
                for rank in shares.indices {
                    #expect(
                        sums[rank].count == 3 && sums[rank][step].map(\.bitPattern) == expected,
                        "seed \(seed), rank \(rank) of \(shares), step \(step)")
                }
            }
        }
    }

    @Test("with a lossy codec still leaves all members with equal bits", arguments: [TensorCodec.bf16, .int8])
    func lossy(codec: TensorCodec) {
        let values = gradients(count: 6, length: 50, seed: 4)
        let sums = run(shares: [0..<1, 1..<4, 4..<6], elementCount: 50, codec: codec, steps: 1, seed: 1) {
            values[$1]
        }
        #expect(sums[0] == sums[1] && sums[1] == sums[2])
        #expect(sums[0].count == 1)
    }

    @Test("refuses what a member may not say")
    func refusals() {
        var reduce = AllReduce(
            .init(rank: 0, shares: [0..<1, 1..<2], elementCount: 10, codec: .f32), firstStep: 0)
        func error(_ input: AllReduce.Input) -> AllReduceError? {
            var effects: [AllReduce.Effect] = []
            reduce.handle(input, at: Instant(nanoseconds: 0), into: &effects)
            for case .refused(_, let error) in effects { return error }
            return nil
        }
        func chunk(step: UInt64 = 0, node: Range<Int> = 1..<2, offset: Int = 0, count: Int = 5) -> ReduceChunk {
            ReduceChunk(
                step: step, node: node, offset: offset, values: Array(repeating: 1, count: count), codec: .f32)
        }
        #expect(error(.part(chunk(node: 0..<1), rank: 1)) == .notAMember)
        #expect(error(.part(chunk(), rank: 2)) == .notAMember)
        #expect(error(.part(chunk(), rank: 0)) == .notAMember)
        #expect(error(.part(chunk(offset: 5), rank: 1)) == .wrongChunk)
        #expect(error(.part(chunk(count: 4), rank: 1)) == .wrongChunk)
        #expect(error(.part(chunk(step: 2), rank: 1)) == .wrongStep)
        #expect(error(.reduced(chunk(node: 0..<2, offset: 5), rank: 1)) == .wrongStep)
        #expect(error(.part(chunk(), rank: 1)) == nil)
        #expect(error(.part(chunk(), rank: 1)) == .repeated)
        #expect(error(.begin(step: 0, [])) == .wrongPartials)
        var short = chunk()
        short.payload.removeLast()
        short.step = 1
        #expect(error(.part(short, rank: 1)) == .wrongChunk)
    }
}
