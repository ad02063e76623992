import Primitives
import Testing

@testable import Topology

/// Which passes go first near the end of an iteration.
@Suite struct StageEndingsTests {
    /// Four stages of whole layers of equal length, the third the last one's equal, 31 micro-batches, room for ten: passes of
    /// several stages and transfers often end at the same time.
    private static func regional(microBatches: Int = 31) -> (CostTables, Layout) {
        var problem = CostModelTests.problem(
            peers: 8, layers: 24, microBatches: 2 * microBatches, latency: 0.8, bytesPerSecond: 2, parameters: 1)
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
