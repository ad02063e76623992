import Control
import Foundation
import Primitives
import Runtime
import Topology

/// What the demo does and says, act by act.
struct DemoStory: Sendable {
    /// Longest wait for all peers to know each other, and for all graphs to be equal.
    private static let meetingPatience = 30.0
    private static let measuringPatience = 40.0

    let network: TopologyFile
    let text: DemoText
    /// `nil` for as many as fit.
    let steps: Int?
    let seed: UInt64
    let outputPath: String

    func play(on swarm: DemoSwarm) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        func elapsed() -> Double { (clock.now - start) / .seconds(1) }
        try prepareOutput()

        // All peers share this machine, so each gets its share of what one thread was measured to do.
        let machine = await MachineReport.detect(diskPath: outputPath)
        let share = min(1, Double(machine.cores) / Double(network.peers.count))
        heading("\(network.peers.count) peers start as processes of this machine")
        if let description = network.description { say("  The network: \(description)") }
        try await swarm.start(network, flopsPerSecond: machine.flopsPerSecond * share)
        try await meet(swarm, elapsed)

        heading("They measure each other")
        let graph = try await measure(swarm, elapsed)
        for line in GraphText(graph).lines(colour: Terminal.output.colour) {
            say(line.isEmpty ? "" : "  " + line)
        }
        try writeFile(GraphSVG.text(graph), to: outputPath + "/graph.svg")

        heading("They plan, fetch and train")
        let story = try await train(swarm)
        var written = [outputPath + "/graph.svg"]
        written += try story.writeCurve(into: outputPath, title: "A GPT trained by \(network.peers.count) peers")
        if let checkpoint = story.finished?.checkpointPath {
            heading("The model writes")
            try sample(checkpoint)
            written.append(checkpoint)
        }

        heading("Written")
        for path in written { say("  " + path) }
        say("  after \(HumanText.duration(seconds: elapsed()))")
    }

    private func heading(_ text: String) { say("\n" + Terminal.output.style(text, .heading)) }

    private func prepareOutput() throws {
        do { try FileManager.default.createDirectory(atPath: outputPath, withIntermediateDirectories: true) } catch {
            throw CommandFailure("cannot make the folder \(outputPath): \(error.localizedDescription)")
        }
    }

    // MARK: Meeting

    /// Waits until every peer knows every other, telling of arrivals as the first peer sees them.
    private func meet(_ swarm: DemoSwarm, _ elapsed: () -> Double) async throws {
        var seen: Set<String> = []
        var complete: Set<String> = []
        let begin = elapsed()
        while complete.count < swarm.peers.count {
            try swarm.checkAlive()
            guard elapsed() - begin < Self.meetingPatience else {
                let missing = swarm.peers.map(\.name).filter { !complete.contains($0) }.joined(separator: ", ")
                throw CommandFailure(
                    "not all peers found each other in \(Int(Self.meetingPatience)) s: \(missing) did not")
            }
            for (index, peer) in swarm.peers.enumerated() where !complete.contains(peer.name) {
                guard let listing = try? await peer.client.peers() else { continue }
                let alive = listing.peers.filter { $0.state == .alive }
                if index == 0 { tellArrivals(alive, &seen, elapsed()) }
                if alive.count == swarm.peers.count, alive.allSatisfy({ !$0.name.isEmpty }) {
                    complete.insert(peer.name)
                }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        say("  \(time(elapsed()))  everyone knows everyone")
    }

    private func tellArrivals(_ alive: [PeerView], _ seen: inout Set<String>, _ now: Double) {
        for peer in alive where !peer.name.isEmpty && seen.insert(peer.peer).inserted {
            let name = Terminal.output.style(peer.name.padding(toLength: 10, withPad: " ", startingAt: 0), .accent)
            say("  \(time(now))  \(name) \(peer.peer.prefix(10))  \(peer.address ?? "")")
        }
    }

    private func time(_ seconds: Double) -> String {
        let text = HumanText.decimal(seconds, digits: 1)
        return String(repeating: " ", count: max(0, 5 - text.count)) + text + " s"
    }

    // MARK: Measuring

    /// Waits until every pair is measured and all peers hold the same graph.
    private func measure(_ swarm: DemoSwarm, _ elapsed: () -> Double) async throws -> GraphView {
        let line = ProgressLine()
        let begin = elapsed()
        while true {
            try swarm.checkAlive()
            var statuses: [NodeStatus] = []
            for peer in swarm.peers { if let status = try? await peer.client.status() { statuses.append(status) } }
            let measured = statuses.map(\.measuredLinks).min() ?? 0
            let total = statuses.map(\.totalLinks).max() ?? 0
            let digests = Set(statuses.map(\.graphDigest)).count
            line.show(
                "  \(HumanText.bar(fraction: Double(measured) / Double(max(total, 1)), width: 30)) "
                    + "\(measured) of \(total) links measured, \(digests) different graphs")
            let isWhole = total > 0 && measured == total && statuses.count == swarm.peers.count
            if isWhole, digests == 1 {
                line.print("  \(time(elapsed()))  all \(total) links measured, and all peers hold the same graph")
                break
            }
            if elapsed() - begin > Self.measuringPatience {
                line.print(
                    "  \(time(elapsed()))  \(measured) of \(total) links measured so far, \(digests) different graphs; going on"
                )
                break
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        return try await swarm.peers[0].client.graph()
    }

    // MARK: Training

    private func train(_ swarm: DemoSwarm) async throws -> TrainStory {
        let textPath = outputPath + "/text.txt"
        do { try Data(text.bytes).write(to: URL(filePath: textPath), options: .atomic) } catch {
            throw CommandFailure("cannot write \(textPath): \(error.localizedDescription)")
        }
        say("  The text: \(text.description), \(Figures.bytes(Double(text.bytes.count)))")
        let client = swarm.peers[0].client
        func document(steps: Int) throws -> String {
            try DemoJob(textPath: textPath, steps: steps, seed: seed, peers: network.peers.count).document()
        }
        var chosen = steps ?? DemoJob.usualSteps
        if steps == nil {
            let draft = try await client.plan(
                PlanRequest(document: try document(steps: chosen), seed: seed, timeLimitSeconds: 1))
            chosen = DemoJob.steps(predictedIterationSeconds: draft.objective.seconds)
        }
        let request = TrainRequest(
            document: try document(steps: chosen), workingDirectory: outputPath, outputDirectory: outputPath + "/job")
        let story = TrainStory()
        for try await event in try await client.train(request) { story.tell(event) }
        story.pause()
        try Task.checkCancellation()
        guard story.finished != nil else { throw CommandFailure("training ended without a result") }
        return story
    }

    private func sample(_ checkpoint: String) throws {
        let prompt = "/// "
        let text = try SampledText.continuation(
            of: prompt, checkpoint: checkpoint, count: 320, temperature: 0.7, topK: 20, seed: seed)
        for line in (prompt + text).split(separator: "\n", omittingEmptySubsequences: false).prefix(12) {
            say("  │ " + line)
        }
    }
}
