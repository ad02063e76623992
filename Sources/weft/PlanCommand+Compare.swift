import Runtime
import Topology

extension PlanCommand {
    /// Seconds that each search of a comparison gets where no limit is given.
    private static let comparisonLimit = 10.0

    /// Plans every problem with every setting and prints what the planner gains.
    func comparePlans() throws {
        let (problems, _) = try chosenProblems()
        var found: [PlanComparison] = []
        for problem in problems {
            found.append(
                try PlanComparison.run(
                    problem, seed: seed, timeLimit: .seconds(timeLimit ?? Self.comparisonLimit), threads: threads))
        }
        guard !output.json else { return try printJSON(found) }
        printObjectives(found)
        for sequences in Set(found.flatMap { $0.runs.map(\.sequences) }).sorted() {
            printInsensitivity(found, sequences: sequences)
        }
    }

    /// One row a problem: DT-FM's objective, and one iteration under the simulator by whose plan it runs.
    private func printObjectives(_ found: [PlanComparison]) {
        print("Seconds of one iteration as simulated; the first column is DT-FM's own objective of our plan for it.")
        print()
        print(
            "| problem | DT-FM objective | DT-FM's plan | with our exchange | best template | ours, its shape | ours "
                + "| bound | DT-FM's / ours |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for row in found {
            let ours = row.runs[0]
            let gain = row.dtfmPlanIterationSeconds.map { Figures.fixed($0 / ours.iterationSeconds, digits: 2) }
            let cells = [
                row.problem, figure(row.dtfmObjectiveSeconds, digits: 6), figure(row.dtfmPlanIterationSeconds),
                figure(row.dtfmPlanBestExchangeSeconds), figure(row.templateIterationSeconds),
                figure(row.fixedShapeSeconds), figure(ours.iterationSeconds),
                figure(ours.lowerBoundSeconds), gain ?? "-",
            ]
            print("| " + cells.joined(separator: " | ") + " |")
        }
    }

    /// One row a problem: the iteration by compression, as a multiple of the first problem's with the same setting and
    /// of the first problem's without compression.
    private func printInsensitivity(_ found: [PlanComparison], sequences: Int) {
        guard let first = found.first else { return }
        func run(_ row: PlanComparison, _ compression: String) -> PlanComparison.Run? {
            row.runs.first { $0.sequences == sequences && $0.compression == compression }
        }
        let names = first.runs.filter { $0.sequences == sequences }.map(\.compression)
        print()
        print("\(sequences) sequences an iteration: seconds (times \(first.problem) with the same compression; bound),")
        print("and for compression the links that use it.")
        print()
        print("| problem | " + names.joined(separator: " | ") + " |")
        print("| --- |" + names.map { _ in " --- |" }.joined())
        for row in found {
            var cells = [row.problem]
            for name in names {
                guard let ours = run(row, name), let base = run(first, name) else {
                    cells.append("-")
                    continue
                }
                var cell = "\(figure(ours.iterationSeconds)) (\(figure(ours.iterationSeconds / base.iterationSeconds))"
                cell += "; \(figure(ours.lowerBoundSeconds)))"
                if name != "none" { cell += ", \(ours.compressedLinks) of \(ours.usedLinks) links" }
                cells.append(cell)
            }
            print("| " + cells.joined(separator: " | ") + " |")
        }
    }

    private func figure(_ value: Double?, digits: Int = 3) -> String {
        value.map { Figures.fixed($0, digits: digits) } ?? "-"
    }
}
