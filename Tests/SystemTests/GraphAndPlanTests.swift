import Foundation
import Testing

extension SystemTests {
    /// Three nodes, seen through the commands that people and scripts use.
    @Suite struct GraphAndPlanTests {
        @Test(.timeLimit(.minutes(3)))
        func commandsShowTheSwarmAndPlanOnItsGraph() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 3)
                try await Waiting.until("everyone knows everyone", seconds: 60) { await swarm.allSee(swarm.nodes) }
                let seconds = try await Waiting.until("all links are measured", seconds: 60, every: 0.25) {
                    let status = try await swarm.nodes[0].status()
                    return status.totalLinks == 6 && status.measuredLinks == 6
                }
                Waiting.report("six links of three peers measured", seconds: seconds)
                try await listings(swarm)
                try await plan(swarm)
                try await measure(swarm)
            }
        }

        private func listings(_ swarm: Swarm) async throws {
            let state = ["--state", swarm.nodes[1].state]
            let status: StatusView = try await swarm.json(["status"] + state)
            #expect(status.name == "node-1" && status.swarm == "test" && status.alivePeers == 3)
            #expect(status.processID == swarm.nodes[1].process?.processID)
            let peers: PeersView = try await swarm.json(["peers"] + state)
            #expect(peers.peers.map(\.name).sorted() == ["node-0", "node-1", "node-2"])
            #expect(peers.peers.first?.isSelf == true)
            let graph: GraphView = try await swarm.json(["graph"] + state)
            #expect(graph.links.count == 6)
            for link in graph.links {
                #expect((link.roundTripSeconds ?? 0) > 0, "\(link)")
                #expect((link.bandwidthBytesPerSecond ?? 0) > 0, "\(link)")
            }
            for format in ["table", "dot", "svg", "json"] {
                let outcome = try await swarm.run(["graph", "--format", format] + state)
                #expect(outcome.status == 0, "graph --format \(format): \(outcome.errors)")
                #expect(outcome.output.contains("node-2"), "graph --format \(format) does not name node-2")
            }
            for command in ["status", "peers"] {
                let outcome = try await swarm.run([command] + state)
                #expect(outcome.status == 0 && !outcome.output.contains("\u{1B}["), "colour without a terminal")
            }
            let metrics = try await swarm.nodes[1].control.text("/metrics")
            #expect(metrics.contains("# TYPE weft_"), "\(metrics.prefix(300))")
        }

        private func plan(_ swarm: Swarm) async throws {
            let job = try SampleJob(folder: swarm.folder, steps: 5).write(to: swarm.folder, named: "plan.json")
            let state = ["--state", swarm.nodes[0].state]
            let plan: PlanView = try await swarm.json(["plan", "--model", job, "--stages", "2"] + state)
            #expect(plan.objective.name == "iteration" && plan.objective.seconds > 0)
            #expect(plan.lowerBoundSeconds <= plan.objective.seconds)
            #expect(!plan.pipelines.isEmpty)
            for pipeline in plan.pipelines {
                #expect(pipeline.map(\.stage) == Array(0..<pipeline.count))
                var next = 0
                for stage in pipeline {
                    #expect(stage.firstLayer == next, "\(pipeline)")
                    next += stage.layerCount
                }
                #expect(next == 4, "a pipeline covers \(next) of 4 layers")
            }
            let peers = plan.pipelines.flatMap { $0.map(\.peer) } + plan.spares
            #expect(Set(peers).count == 3, "every peer has a part or is a spare: \(peers)")
        }

        private func measure(_ swarm: Swarm) async throws {
            let state = ["--state", swarm.nodes[0].state]
            let ping = try await swarm.run(["ping", "node-2", "--count", "3", "--interval", "0.1"] + state)
            #expect(ping.status == 0, "\(ping.errors)")
            let probe = try await swarm.run(["probe", "node-2"] + state)
            #expect(probe.status == 0, "\(probe.errors)")
            let nobody = try await swarm.run(["ping", "nobody"] + state)
            #expect(nobody.status == 1 && nobody.errors.contains("nobody"), "\(nobody.errors)")
        }
    }
}
