import Primitives
import Testing

@testable import Topology

/// Which passes go first near the end of an iteration.
@Suite struct StageEndingsTests {
    /// Four stages of whole layers of equal length, the third the last one's equal, 31 micro-batches, room for ten: passes of
    /// several stages and transfers often end at the same time.
    private static func regional(microBatches: Int = 31, uplink: Double? = nil) -> (CostTables, Layout) {
        var problem = CostModelTests.problem(
            peers: 8, layers: 24, microBatches: 2 * microBatches, latency: 0.8, bytesPerSecond: 2, uplink: uplink,
            parameters: 1)
        problem.exchangesInLevels = true
        problem.weighsSlices = true
        let tables = CostTables(problem)
        let cuts = [0..<5, 5..<12, 12..<19, 19..<24]
        var layout = Layout(
            pipelines: (0..<2).map { rank in
                cuts.enumerated().map {
                    Layout.Stage(peer: 4 * rank + $0, layers: $1, depth: $0 == 0 ? 13 : 10)
                }
            }, microBatches: [microBatches, microBatches], schedule: .zeroBubble)
        layout.exchange = .timed
        return (tables, layout)
    }

    @Test func firstStageIsReadySooner() {
        let (tables, layout) = Self.regional()
        let ended = StageEndings(tables: tables).applied(to: layout)
        func ends(_ layout: Layout) -> StageEnds {
            PipelineRecurrence(layout.pipelines[0], schedule: .zeroBubble, tables: tables).ends(microBatches: 31)
        }
        let before = ends(layout)
        let after = ends(ended)
        #expect(after.inputs[0] < before.inputs[0] - 3, "\(after.inputs) instead of \(before.inputs)")
        #expect(
            (after.finishes.max() ?? 0) <= (before.finishes.max() ?? 0) * (1 + 1e-9),
            "\(after.finishes) instead of \(before.finishes)")
        #expect(ended.pipelines.map { $0.map(\.ending) }[0] == ended.pipelines.map { $0.map(\.ending) }[1])
    }

    /// All passes are done once, and memory has room for no more micro-batches than before.
    @Test func endingsChangeTheOrderAlone() {
        let (tables, layout) = Self.regional()
        let ended = StageEndings(tables: tables).applied(to: layout)
        let before = IterationSimulator.run(layout, tables: tables)
        let after = IterationSimulator.run(ended, tables: tables)
        #expect(after.seconds < before.seconds, "\(after.seconds) instead of \(before.seconds)")
        for (one, other) in zip(before.stages.joined(), after.stages.joined()) {
            #expect(one.computeSeconds == other.computeSeconds && one.memoryBytes == other.memoryBytes)
        }
    }

    /// What ends at the same time but for rounding is ordered alike by the recurrence and by the simulator.
    @Test func closedFormFollowsTheSimulator() {
        var generator = SeededGenerator(seed: 1)
        var errors: [Double] = []
        for microBatches in 8..<40 {
            var (tables, layout) = Self.regional(microBatches: microBatches)
            for rank in layout.pipelines.indices {
                for stage in layout.pipelines[rank].indices {
                    layout.pipelines[rank][stage].ending = Layout.Ending(
                        forwardsFirst: generator.index(below: 12), isPrompt: generator.index(below: 2) == 0)
                }
            }
            let trace = IterationSimulator.run(layout, tables: tables)
            for (rank, pipeline) in layout.pipelines.enumerated() {
                let ends = PipelineRecurrence(pipeline, schedule: .zeroBubble, tables: tables).ends(
                    microBatches: microBatches)
                for stage in pipeline.indices {
                    let simulated = trace.stages[rank][stage].finishSeconds
                    #expect(
                        abs(ends.finishes[stage] - simulated) < 1e-6,
                        "\(microBatches) micro-batches, stage \(stage): \(ends.finishes[stage]), simulated \(simulated)"
                    )
                }
            }
            errors.append(abs(ClosedForm(tables: tables).seconds(layout) / trace.seconds - 1))
        }
        errors.sort()
        #expect(errors[errors.count / 2] < 1e-3 && errors[errors.count - 1] < 0.03, "\(errors)")
    }

    /// The same where access links are known, be they ever so fast.
    @Test func tiesAreOrderedAlikeBehindAccessLinks() {
        for microBatches in 8..<40 {
            let (tables, layout) = Self.regional(microBatches: microBatches, uplink: 1e12)
            let trace = IterationSimulator.run(layout, tables: tables)
            let ends = PipelineRecurrence(layout.pipelines[0], schedule: .zeroBubble, tables: tables).ends(
                microBatches: microBatches)
            for stage in layout.pipelines[0].indices {
                let simulated = trace.stages[0][stage].finishSeconds
                #expect(
                    abs(ends.finishes[stage] - simulated) < 1e-3,
                    "\(microBatches) micro-batches, stage \(stage): \(ends.finishes[stage]), simulated \(simulated)")
            }
        }
    }

    /// Long pipelines with much room are not searched for ever.
    @Test func longPipelinesAreSearchedInPart() {
        var problem = CostModelTests.problem(
            peers: 48, layers: 48, microBatches: 6_000, latency: 0.8, bytesPerSecond: 2, parameters: 1)
        problem.exchangesInLevels = true
        let tables = CostTables(problem)
        let layout = Layout(
            pipelines: (0..<2).map { rank in
                (0..<24).map { Layout.Stage(peer: 24 * rank + $0, layers: (2 * $0)..<(2 * $0 + 2), depth: 2_000) }
            }, microBatches: [3_000, 3_000], schedule: .zeroBubble)
        let ended = StageEndings(tables: tables).applied(to: layout)
        #expect(ended.pipelines.map { $0.map(\.layers) } == layout.pipelines.map { $0.map(\.layers) })
        let followed = PipelineRecurrence.followed(layout.pipelines[0], microBatches: 3_000)
        #expect(followed == 3_000 && PipelineRecurrence.followed(layout.pipelines[0], microBatches: 30_000) == 14_096)
    }

    /// Other schedules end as they always do.
    @Test func onlyPutOffWorkHasEndings() {
        var (tables, layout) = Self.regional()
        layout.schedule = .deepOneForwardOneBackward
        #expect(StageEndings(tables: tables).applied(to: layout) == layout)
        tables = CostTables(CostModelTests.problem(peers: 8, layers: 24, microBatches: 62, latency: 0, uplink: 1))
        layout.schedule = .zeroBubble
        #expect(StageEndings(tables: tables).applied(to: layout) == layout)
    }
}
