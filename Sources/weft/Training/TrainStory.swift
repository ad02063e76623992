import Control
import Foundation
import Runtime
import Topology

/// Tells a person how a training run goes, event by event, and keeps its loss curve.
final class TrainStory {
    private(set) var curve = LossCurve()
    private(set) var plan: PlanView?
    private(set) var finished: TrainEvent.Finished?
    private let terminal = Terminal.output
    private let line = ProgressLine()
    private var fetches: [String: TrainEvent.Fetching] = [:]
    private var announcedFetch = false

    /// Takes an event into the curve without showing it.
    func keep(_ event: TrainEvent) {
        curve.add(event)
        if case .finished(let finished) = event { self.finished = finished }
    }

    /// Shows one event.
    func tell(_ event: TrainEvent) {
        keep(event)
        switch event {
        case .accepted(let job): tellAccepted(job)
        case .planned(let plan): tellPlan(plan)
        case .fetching(let fetching): tellFetching(fetching)
        case .ready(let ready):
            endFetching()
            line.print(
                "Ready: \(ready.replicas) pipelines of \(ready.stages) stages"
                    + (ready.firstStep > 1 ? ", going on with step \(ready.firstStep)" : ""))
        case .step(let step): tellStep(step)
        case .validation(let validation):
            line.print(
                "  validation after step \(validation.step): loss \(figure(validation.loss)), byte unigrams "
                    + figure(validation.unigramLoss))
        case .checkpoint(let checkpoint):
            let holders = checkpoint.holders.isEmpty ? "" : ", held by \(checkpoint.holders.joined(separator: ", "))"
            line.print(
                "  checkpoint after step \(checkpoint.step): \(Figures.bytes(Double(checkpoint.bytes)))\(holders)")
        case .notice(let notice): line.print(terminal.style("  " + notice.message, .warning))
        case .finished(let finished): tellFinished(finished)
        }
    }

    /// Removes an unfinished progress line, before something else is printed.
    func pause() { line.clear() }

    private func tellAccepted(_ job: TrainEvent.Accepted) {
        line.print(
            "Job \(terminal.style(job.job, .accent)), coordinated by \(job.coordinatorName): "
                + "\(Figures.significant(Double(job.parameterCount) / 1e6)) M parameters, \(job.steps) steps, "
                + "\(Figures.bytes(Double(job.trainingBytes))) of text and "
                + "\(Figures.bytes(Double(job.validationBytes))) held back")
    }

    private func tellPlan(_ plan: PlanView) {
        self.plan = plan
        line.print(
            "Plan: one iteration in \(terminal.style(Figures.seconds(plan.objective.seconds), .accent)) predicted, no plan "
                + "below \(Figures.seconds(plan.lowerBoundSeconds))")
        for text in (plan.diagram ?? "").split(separator: "\n") { line.print("  " + text) }
    }

    private func tellFetching(_ fetching: TrainEvent.Fetching) {
        if !announcedFetch {
            announcedFetch = true
            line.print("Peers fetch text and parameters from each other:")
        }
        fetches[fetching.peer + " " + fetching.shard] = fetching
        let done = fetches.values.reduce(0) { $0 + $1.doneBytes }
        let total = fetches.values.reduce(0) { $0 + $1.totalBytes }
        line.show(
            "  \(HumanText.bar(fraction: Double(done) / Double(max(total, 1)), width: 30)) "
                + "\(Figures.bytes(Double(done))) of \(Figures.bytes(Double(total))), \(fetches.count) transfers")
    }

    private func endFetching() {
        guard !fetches.isEmpty else { return }
        let total = fetches.values.reduce(0) { $0 + $1.totalBytes }
        let peers = Set(fetches.values.map(\.peer)).count
        line.print("  \(peers) peers fetched \(Figures.bytes(Double(total))), every piece verified")
        fetches = [:]
    }

    private func tellStep(_ step: TrainEvent.Step) {
        let predicted = step.predictedIterationSeconds.map { " (plan \(Figures.seconds($0)))" } ?? ""
        let figures =
            "loss \(figure(Double(step.loss)))  \(Int(step.tokensPerSecond.rounded())) tokens/s  iteration "
            + "\(Figures.seconds(step.iterationSeconds))\(predicted)"
        let bar = HumanText.bar(fraction: Double(step.step) / Double(max(step.steps, 1)), width: 20)
        let text = "step \(step.step)/\(step.steps)  \(figures)"
        // A terminal shows the newest step; a file gets them all, with the loss's bits.
        if terminal.isInteractive { line.show("  \(bar) \(text)") } else { say("  \(text)  bits \(step.lossBits)") }
    }

    private func tellFinished(_ finished: TrainEvent.Finished) {
        line.print(
            "Finished \(finished.steps) steps in \(HumanText.duration(seconds: finished.elapsedSeconds)), training loss "
                + figure(Double(finished.loss)))
        if let loss = finished.validationLoss, let unigram = finished.unigramLoss {
            let verdict = loss < unigram ? "below" : "not below"
            line.print(
                "Validation loss \(terminal.style(figure(loss), loss < unigram ? .good : .warning)), \(verdict) the "
                    + "\(figure(unigram)) of byte unigrams")
        }
        if let measured = meanIteration, let predicted = plan?.objective.seconds {
            line.print(
                "Iterations took \(Figures.seconds(measured)) in the middle of the run where the plan said "
                    + Figures.seconds(predicted))
        }
    }

    /// Median iteration time, since the first steps include warming up.
    private var meanIteration: Double? {
        let times = curve.steps.map(\.iterationSeconds).sorted()
        return times.isEmpty ? nil : times[times.count / 2]
    }

    private func figure(_ loss: Double) -> String { HumanText.decimal(loss, digits: 4) }

    /// Writes the loss curve as `loss.csv` and `loss.svg` and returns their paths.
    func writeCurve(into directory: String, title: String) throws -> [String] {
        do { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) } catch {
            throw CommandFailure("cannot make the folder \(directory): \(error.localizedDescription)")
        }
        try writeFile(curve.csv, to: directory + "/loss.csv")
        try writeFile(curve.svg(title: title), to: directory + "/loss.svg")
        return [directory + "/loss.csv", directory + "/loss.svg"]
    }
}
