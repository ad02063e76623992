import Foundation
import TestSupport
import Testing
import Topology

@testable import Runtime

/// Planning problems in files, and plans as JSON.
struct PlanningFileTests {
    private static let fixtures = NetworkExamples.root + "/Tests/TopologyTests/Fixtures/"

    private static func write(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "weft-problem-\(UUID().uuidString).json").path
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private static let small = """
        {"format": "weft.planning-problem/1", "name": "two",
         "peers": [{"name": "a", "flopsPerSecond": 1e11, "memoryBytes": 1e9},
                   {"name": "b", "flopsPerSecond": 2e11, "memoryBytes": 1e9, "uplinkBitsPerSecond": 8e6}],
         "latencySeconds": [[0, 0.01], [0.02, 0]],
         "bandwidthBitsPerSecond": [[0, 8e7], [8e6, 0]],
         "model": {"layers": 4, "hidden": 64, "heads": 4, "sequenceLength": 64, "vocabulary": 256},
         "batch": {"sequences": 8, "microBatchSequences": 2}}
        """

    @Test func sharedProblemsAreRead() throws {
        let many = try PlanningProblemFile.read(Self.fixtures + "small_exact.json")
        #expect(many.problems.count == 11)
        #expect(many.isArray)
        for file in many.problems { try file.problem().validate() }
        let one = try #require(PlanningProblemFile.read(Self.fixtures + "dtfm_case4_worldwide.json").problems.first)
            .problem()
        #expect(one.graph.count == 64)
        #expect(one.batch.microBatches == 488)
        #expect(one.shape == PlanningProblem.Shape(stages: 8, replicas: 8))
        #expect(abs(one.model.parameters - 1.3e9) < 1)
        #expect(one.dtfm?.gradientBytes == 650_000_000)
    }

    @Test func directionsAndUnitsAreKept() throws {
        let path = try Self.write(Self.small)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let problem = try #require(PlanningProblemFile.read(path).problems.first).problem()
        let there = problem.graph.position(from: 0, to: 1)
        let back = problem.graph.position(from: 1, to: 0)
        #expect(problem.graph.latencies[there].value == 0.01)
        #expect(problem.graph.latencies[back].value == 0.02)
        #expect(problem.graph.rates[there].value == 1e7)
        #expect(problem.graph.rates[back].value == 1e6)
        #expect(problem.graph.nodes[1].uplinkBytesPerSecond == 1e6)
        #expect(problem.batch.microBatches == 4)
    }

    @Test func planHasTheContractsKeys() throws {
        let path = try Self.write(Self.small)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let problem = try #require(PlanningProblemFile.read(path).problems.first).problem()
        let (report, elapsed) = try PlanRun.plan(
            problem, options: PlannerOptions(seed: 9, budget: 300), timeLimit: .seconds(30))
        let view = PlanView(report, problem: problem, elapsedSeconds: elapsed, namesOnly: true)
        let data = try JSONEncoder().encode(view)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        for key in [
            "objective", "lowerBoundSeconds", "seed", "elapsedSeconds", "graphDigest", "pipelines", "spares",
        ] {
            #expect(object[key] != nil, "no key \(key)")
        }
        let objective = try #require(object["objective"] as? [String: Any])
        #expect(objective["name"] as? String == "iteration")
        let seconds = try #require(objective["seconds"] as? Double)
        #expect(abs(seconds - report.objectiveSeconds) < 1e-12)
        #expect(objective["parts"] is [String: Any])
        let stage = try #require((object["pipelines"] as? [[[String: Any]]])?.first?.first)
        for key in ["peer", "stage", "firstLayer", "layerCount", "microBatches"] {
            #expect(stage[key] != nil, "no key \(key)")
        }
    }

    /// Prices, memory rates and what is generated come through, and the plan for generation has the contract's keys.
    @Test(arguments: PlanningGoal.allCases.dropFirst()) func generationIsRead(goal: PlanningGoal) throws {
        let text = Self.small.replacingOccurrences(
            of: "\"uplinkBitsPerSecond\": 8e6", with: "\"pricePerHour\": 1.5, \"memoryBytesPerSecond\": 1e9"
        ).replacingOccurrences(
            of: "\"batch\":",
            with: "\"generation\": {\"promptTokens\": 32, \"newTokens\": 8}, \"maximumCostPerHour\": 2, \"batch\":")
        let path = try Self.write(text)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let problem = try #require(PlanningProblemFile.read(path).problems.first).problem()
        #expect(problem.graph.nodes.map(\.pricePerHour) == [nil, 1.5])
        #expect(problem.graph.nodes[1].memoryBytesPerSecond == 1e9)
        #expect(problem.generation == GenerationWorkload(promptTokens: 32, newTokens: 8))
        #expect(problem.maximumCostPerHour == 2)
        let (report, elapsed) = try PlanRun.plan(
            problem, goal: goal, options: PlannerOptions(budget: 200), timeLimit: .seconds(30), threads: 2)
        let view = PlanView(report, problem: problem, elapsedSeconds: elapsed)
        #expect(view.objective.name == goal.rawValue)
        #expect(view.lowerBoundSeconds <= view.objective.seconds)
        #expect(view.costPerHour == CostBudget(problem).cost(of: report.layout.peers))
        #expect(view.generation?.pipelines.count == view.pipelines.count)
        #expect(try JSONDecoder().decode(PlanView.self, from: JSONEncoder().encode(view)) == view)
        let drawn =
            (GenerationDiagram(report, problem: problem).lines + GenerationExplanation(report, problem: problem).lines)
            .joined(separator: "\n")
        #expect(drawn.contains("cost: "), "\(drawn)")
    }

    @Test(arguments: [
        ("not json", "is not a planning problem: it is not valid JSON"),
        ("{}", "is not a planning problem: the top lacks \"format\""),
        (
            small.replacingOccurrences(of: "problem/1", with: "problem/9"),
            "two: the format is \"weft.planning-problem/9\", this build reads \"weft.planning-problem/1\""
        ),
        (
            small.replacingOccurrences(of: "[[0, 0.01], [0.02, 0]]", with: "[[0, 0.01]]"),
            "two: latencySeconds has 1 rows for 2 peers"
        ),
        (
            small.replacingOccurrences(of: "\"layers\": 4", with: "\"layers\": \"four\""),
            "is not a planning problem: model.layers has the wrong type"
        ),
        (
            small.replacingOccurrences(of: "\"uplinkBitsPerSecond\": 8e6", with: "\"pricePerHour\": \"cheap\""),
            "is not a planning problem: peers.[1].pricePerHour has the wrong type"
        ),
    ])
    func badFilesGetOneClearLine(text: String, message: String) throws {
        let path = try Self.write(text)
        defer { try? FileManager.default.removeItem(atPath: path) }
        do {
            _ = try PlanningProblemFile.read(path).problems.map { file in try file.problem() }
            Issue.record("accepted: \(text)")
        } catch let error as PlanningFileError {
            #expect(error.description.hasSuffix(message), "\(error)")
        }
    }

    /// A null is a link that nobody measured: the validation names it.
    @Test func nullIsUnknown() throws {
        let path = try Self.write(Self.small.replacingOccurrences(of: "[8e6, 0]", with: "[null, 0]"))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let problem = try #require(PlanningProblemFile.read(path).problems.first).problem()
        let error = #expect(throws: PlanningError.self) { try problem.validate() }
        #expect(error?.description == "1 of 2 links have no measurement or prediction, the first is b -> a")
    }
}
