import Pipeline
import Primitives
import Testing
import Wire

@Suite("The gradient exchange")
struct GradientExchangeTests {
    private static let run = RunID(job: 1, attempt: 0)

    /// Elements of a part: ten of the tied table, and three more for each layer than its number.
    private static func elementCount(_ part: ModelPart) -> Int? {
        switch part {
        case .tokenEmbedding, .outputHead: 10
        case .layers(let layers): layers.map { $0 + 3 }.reduce(0, +)
        }
    }

    /// A micro-batch's gradient of a part, the same wherever it is computed.
    private static func gradient(_ part: ModelPart, step: UInt64, microBatch: Int) -> [Float] {
        func values(_ key: UInt64, _ count: Int) -> [Float] {
            gradients(count: 1, length: count, seed: key &* 1_000_003 &+ step &* 1009 &+ UInt64(microBatch))[0]
        }
        switch part {
        case .tokenEmbedding: return values(1000, 10)
        case .outputHead: return values(1001, 10)
        case .layers(let layers): return layers.flatMap { values(UInt64($0), $0 + 3) }
        }
    }

    private static func sum(_ part: ModelPart, step: UInt64, microBatches: Int) throws -> [Float] {
        var tree = GradientTree(microBatchCount: microBatches, range: 0..<microBatches)
        for index in 0..<microBatches { tree.add(gradient(part, step: step, microBatch: index)) }
        return try #require(tree.partials.first).values
    }

    private static func layout(layers: Int, microBatches: Int, _ generator: inout SeededGenerator) -> PipelineLayout {
        var next = 0
        let shares = randomCuts(microBatches, parts: 1 + generator.index(below: min(3, microBatches)), &generator)
        return PipelineLayout(
            pipelines: shares.map { share in
                let cuts = randomCuts(layers, parts: 1 + generator.index(below: layers), &generator)
                return .init(
                    microBatches: share,
                    stages: cuts.map {
                        next += 1
                        return .init(peer: peer(next), layers: $0)
                    })
            })
    }

    @Test("gives every stage of any layout the sums of one process", arguments: [TensorCodec.f32, .bf16])
    func anyLayout(codec: TensorCodec) throws {
        for seed in 0..<30 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let (layers, microBatches) = (1 + generator.index(below: 5), 1 + generator.index(below: 7))
            let layout = Self.layout(layers: layers, microBatches: microBatches, &generator)
            var exchanges: [PeerID: GradientExchange] = [:]
            for own in layout.peers {
                var configuration = GradientExchange.Configuration(
                    run: Self.run, layout: layout, peer: own, codec: codec, firstStep: 3)
                configuration.chunkElements = 4
                let exchange = try #require(GradientExchange(configuration, elementCount: Self.elementCount))
                exchanges[own] = exchange
            }
            var queues: [[(to: PeerID, input: GradientExchange.Input)]] = []
            var streams: [[PeerID]: Int] = [:]
            func post(_ key: [PeerID], _ to: PeerID, _ input: GradientExchange.Input) {
                if streams[key] == nil {
                    streams[key] = queues.count
                    queues.append([])
                }
                queues[streams[key] ?? 0].append((to, input))
            }
            func begin(_ own: PeerID, _ step: UInt64) throws {
                let range = try #require(layout.position(of: own)).microBatches
                let partials = try #require(exchanges[own]).parts.map { part in
                    var tree = GradientTree(microBatchCount: microBatches, range: range)
                    for index in range { tree.add(Self.gradient(part, step: step, microBatch: index)) }
                    return tree.takePartials()
                }
                post([own], own, .begin(step: step, partials))
            }
            for own in layout.peers { try begin(own, 3) }
            var finished: [PeerID: Int] = [:]
            var bits: [ModelPart: [Float]] = [:]
            while true {
                let ready = queues.indices.filter { !queues[$0].isEmpty }
                guard !ready.isEmpty else { break }
                let (to, input) = queues[ready[generator.index(below: ready.count)]].removeFirst()
                var effects: [GradientExchange.Effect] = []
                exchanges[to]?.handle(input, at: Instant(nanoseconds: 0), into: &effects)
                for effect in effects {
                    switch effect {
                    case .send(let message, let receiver):
                        let decoded = try JobMessage(wireBytes: message.wireBytes)
                        post([to, receiver], receiver, .message(decoded, from: to))
                    case .finished(let step, let sums, let tied):
                        finished[to, default: 0] += 1
                        let position = try #require(layout.position(of: to))
                        for (part, values) in sums {
                            if codec == .f32 {
                                #expect(
                                    try values == Self.sum(part, step: step, microBatches: microBatches), "seed \(seed)"
                                )
                            } else if step == 3 {
                                #expect(bits[part, default: values] == values, "seed \(seed): replicas drift apart")
                                bits[part] = values
                            }
                        }
                        let other: ModelPart? =
                            position.isFirst == position.isLast ? nil : position.isFirst ? .outputHead : .tokenEmbedding
                        if codec == .f32 {
                            let expected = try other.map { try Self.sum($0, step: step, microBatches: microBatches) }
                            #expect(tied == expected, "seed \(seed)")
                        } else {
                            #expect((tied == nil) == (other == nil))
                            if let other, let tied, step == 3 {
                                #expect(bits[other, default: tied] == tied, "seed \(seed): the ends drift apart")
                                bits[other] = tied
                            }
                        }
                        if step < 5 { try begin(to, step + 1) }
                    case .refused(let who, let why):
                        Issue.record("seed \(seed): \(to.short) refuses \(who.short): \(why)")
                    }
                }
            }
            #expect(layout.peers.allSatisfy { finished[$0] == 3 }, "seed \(seed): \(finished.count)")
        }
    }

    @Test("refuses strangers, other messages and parts out of turn")
    func refusals() throws {
        let layout = PipelineLayout(pipelines: [
            .init(
                microBatches: 0..<2, stages: [.init(peer: peer(1), layers: 0..<1), .init(peer: peer(2), layers: 1..<2)])
        ])
        var exchange = try #require(
            GradientExchange(
                .init(run: Self.run, layout: layout, peer: peer(1), codec: .f32, firstStep: 0),
                elementCount: Self.elementCount))
        func refuses(_ message: JobMessage, from sender: PeerID) -> Bool {
            var effects: [GradientExchange.Effect] = []
            exchange.handle(.message(message, from: sender), at: Instant(nanoseconds: 0), into: &effects)
            return effects.contains { if case .refused = $0 { true } else { false } }
        }
        func tied(_ offset: Int, _ count: Int, segment: Int = 1, step: UInt64 = 0) -> JobMessage {
            let chunk = ReduceChunk(
                step: step, node: 0..<2, offset: offset, values: [Float](repeating: 1, count: count), codec: .f32)
            return .tiedGradient(Self.run, segment: segment, chunk)
        }
        #expect(refuses(tied(0, 4), from: peer(3)))
        #expect(refuses(tied(0, 4, segment: 0), from: peer(2)), "the first stage's own")
        #expect(refuses(tied(0, 4, step: 2), from: peer(2)), "two steps ahead")
        #expect(refuses(tied(0, 11), from: peer(2)), "too long")
        #expect(!refuses(tied(0, 4), from: peer(2)))
        #expect(refuses(tied(0, 4), from: peer(2)), "again")
        #expect(refuses(tied(8, 2), from: peer(2)), "a gap")
        #expect(!refuses(tied(4, 6), from: peer(2)))
        #expect(refuses(.ready(Self.run), from: peer(2)))
        #expect(!refuses(.ready(RunID(job: 1, attempt: 9)), from: peer(2)), "another run's messages are dropped")
        let stranger = GradientExchange(
            .init(run: Self.run, layout: layout, peer: peer(9), codec: .f32, firstStep: 0),
            elementCount: Self.elementCount)
        #expect(stranger?.parts == nil)
    }
}
