import Foundation
import Testing

extension SystemTests {
    /// The strongest test there is: the same job gives the same bits however it is split, stopped and gone on with.
    @Suite struct TrainingTests {
        static let layouts: [(stages: Int, replicas: Int)] = [(1, 1), (2, 1), (2, 2), (4, 1), (1, 4)]

        @Test(.timeLimit(.minutes(6)))
        func theSameBitsOnEveryLayoutAndAfterAResume() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 4)
                try await Waiting.until("everyone knows everyone", seconds: 60) { await swarm.allSee(swarm.nodes) }
                var job = try SampleJob(folder: swarm.folder, steps: 6)
                job.checkpointEvery = 2
                let path = try job.write(to: swarm.folder, named: "local.json")
                let start = ContinuousClock.now
                let local = try await train(swarm, [path, "--local"])
                Waiting.report("6 steps in one process", seconds: (ContinuousClock.now - start).inSeconds)
                #expect(local.count == 6, "every step has a loss: \(local)")
                #expect(Set(local).count > 1, "the loss does not change: \(local)")
                for layout in Self.layouts {
                    job.layout = .init(stages: layout.stages, replicas: layout.replicas)
                    let name = "job-\(layout.stages)x\(layout.replicas).json"
                    let path = try job.write(to: swarm.folder, named: name)
                    let start = ContinuousClock.now
                    let losses = try await train(swarm, [path, "--state", swarm.nodes[0].state])
                    Waiting.report(
                        "6 steps on \(layout.stages) stages x \(layout.replicas) replicas",
                        seconds: (ContinuousClock.now - start).inSeconds)
                    #expect(losses == local, "\(layout.stages) stages x \(layout.replicas) replicas differ")
                }
                try await resume(swarm, job, expecting: local)
            }
        }

        /// Stops a job after its first checkpoint and goes on from there, on another layout.
        private func resume(_ swarm: Swarm, _ job: SampleJob, expecting local: [String]) async throws {
            var job = job
            job.name = "stopped"
            job.layout = .init(stages: 2, replicas: 2)
            let path = try job.write(to: swarm.folder, named: "stopped.json")
            let process = try WeftProcess(
                ["train", path, "--state", swarm.nodes[0].state, "--json"], folder: swarm.folder, label: "train")
            try await Waiting.until("the first checkpoint is written", seconds: 60) {
                if !process.isRunning { return true }
                return process.jsonLines(TrainEventView.self).contains { $0.event == "checkpoint" }
            }
            process.send(SIGINT)
            _ = try await process.wait(seconds: 30)
            let events = process.jsonLines(TrainEventView.self)
            let checkpoint = try #require(
                events.first { $0.event == "checkpoint" }?.path, "no checkpoint was written: \(process.output)")
            job.layout = .init(stages: 4, replicas: 1)
            let second = try job.write(to: swarm.folder, named: "resumed.json")
            let resumed = try await train(
                swarm, [second, "--state", swarm.nodes[0].state, "--resume", checkpoint])
            #expect(!resumed.isEmpty && resumed.count < local.count, "the job began anew: \(resumed)")
            #expect(resumed == Array(local.suffix(resumed.count)), "after the resume the losses differ")
        }

        @Test(.timeLimit(.minutes(3)))
        func aKilledWorkerLeadsToAClearEnd() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 3)
                try await Waiting.until("everyone knows everyone", seconds: 60) { await swarm.allSee(swarm.nodes) }
                var job = try SampleJob(folder: swarm.folder, steps: 2000)
                job.layout = .init(stages: 3, replicas: 1)
                let path = try job.write(to: swarm.folder, named: "long.json")
                let process = try await begin(swarm, path, until: "step")
                let killed = ContinuousClock.now
                swarm.nodes[2].process?.send(SIGKILL)
                try await Waiting.until("the loss of the worker is told", seconds: 60) {
                    !process.isRunning || process.jsonLines(TrainEventView.self).contains { $0.event == "notice" }
                }
                Waiting.report("a killed worker is told", seconds: (ContinuousClock.now - killed).inSeconds)
                if !process.isRunning {
                    let outcome = try await process.wait(seconds: 1)
                    #expect(outcome.status == 1, "a job that lost a worker must not end well: \(outcome.status)")
                    let lines = outcome.errors.split(separator: "\n")
                    #expect(lines.count == 1, "one clear line: \(outcome.errors)")
                }
                process.stop()
                // The others are free for the next job.
                job.steps = 2
                job.layout = .init(stages: 2, replicas: 1)
                let next = try job.write(to: swarm.folder, named: "next.json")
                try await Waiting.until("the killed node is gone", seconds: 60) {
                    await swarm.allSee([swarm.nodes[0], swarm.nodes[1]])
                }
                let losses = try await train(swarm, [next, "--state", swarm.nodes[0].state])
                #expect(losses.count == 2)
            }
        }

        /// All others keep the layers that they hold, and the losses are those of a job to which nothing happened.
        @Test(.timeLimit(.minutes(4)))
        func aSpareTakesOverFromAKilledWorker() async throws {
            try await Swarm.with { swarm in
                while swarm.nodes.count < 4 { swarm.addNode() }
                // As planned all are equally slow, so slow that links do not matter: no plan is better than the one with
                // the gap filled.
                for node in swarm.nodes { try swarm.start(node, extra: ["--flops", "1e7"]) }
                try await swarm.answers(swarm.nodes)
                try await Waiting.until("everyone knows everyone", seconds: 60) { await swarm.allSee(swarm.nodes) }
                var job = try SampleJob(folder: swarm.folder, steps: 80)
                job.checkpointEvery = 4
                let local = try await train(swarm, [try job.write(to: swarm.folder, named: "local.json"), "--local"])
                job.layout = .init(stages: 3, replicas: 1)
                let path = try job.write(to: swarm.folder, named: "job.json")
                let process = try await begin(swarm, path, until: "checkpoint")
                let before = try #require(process.jsonLines(TrainEventView.self).compactMap(\.pipelines).first?.first)
                let lost = try #require(
                    swarm.nodes.dropFirst().first { node in before.contains { $0.name == node.name } })
                lost.process?.send(SIGKILL)
                let outcome = try await process.wait(seconds: 120)
                #expect(outcome.status == 0, "\(outcome.errors)")
                let events = process.jsonLines(TrainEventView.self)
                let after = try #require(events.compactMap(\.pipelines).last?.first)
                #expect(!after.contains { $0.name == lost.name }, "the plan still has \(lost.name)")
                for stage in before where stage.name != lost.name {
                    #expect(
                        after.contains(stage), "\(stage.name) gave up layer \(stage.firstLayer) and what follows it")
                }
                #expect(events.contains { $0.message?.hasPrefix("one peer fetches") == true })
                var bits: [Int: String] = [:]
                for event in events where event.event == "step" { bits[event.step ?? 0] = event.lossBits }
                #expect((1...80).map { bits[$0] } == local, "the losses are not those of an undisturbed job")
            }
        }

        /// Begins to train and returns once there has been such an event.
        private func begin(_ swarm: Swarm, _ path: String, until event: String) async throws -> WeftProcess {
            let process = try WeftProcess(
                ["train", path, "--state", swarm.nodes[0].state, "--json"], folder: swarm.folder, label: "train")
            try await Waiting.until("there is the first \(event)", seconds: 60) {
                guard process.isRunning else { throw HarnessError("the job ended: \(process.errors)") }
                return process.jsonLines(TrainEventView.self).contains { $0.event == event }
            }
            return process
        }

        /// Trains to the end and returns the bits of each step's loss.
        private func train(_ swarm: Swarm, _ arguments: [String]) async throws -> [String] {
            let outcome = try await swarm.run(["train"] + arguments + ["--json"], seconds: 120)
            guard outcome.status == 0 else {
                throw HarnessError("weft train \(arguments.joined(separator: " ")): \(outcome.errors)")
            }
            let decoder = JSONDecoder()
            let events = try outcome.output.split(separator: "\n").map {
                try decoder.decode(TrainEventView.self, from: Data($0.utf8))
            }
            #expect(events.last?.event == "finished", "the last event is \(events.last?.event ?? "none")")
            return events.filter { $0.event == "step" }.compactMap(\.lossBits)
        }
    }
}
