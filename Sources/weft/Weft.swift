import ArgumentParser

/// The root command: prints help by itself.
@main
struct Weft: AsyncParsableCommand {
    /// The version that `--version`, capability entries and the local API report.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "weft",
        abstract: "A peer-to-peer overlay network that trains and runs AI models.",
        discussion: """
            Start with `weft demo`, which shows everything on this machine. For a swarm of your own, `weft init` on one \
            machine prints a ticket; `weft up --join TICKET` on others joins it.
            """,
        version: version,
        groupedSubcommands: [
            CommandGroup(
                name: "Swarm",
                subcommands: [
                    InitCommand.self, UpCommand.self, TicketCommand.self, IDCommand.self, LeaveCommand.self,
                    AdmitCommand.self, RevokeCommand.self, MembersCommand.self,
                ]),
            CommandGroup(
                name: "Network",
                subcommands: [
                    StatusCommand.self, PeersCommand.self, GraphCommand.self, PingCommand.self, ProbeCommand.self,
                ]),
            CommandGroup(
                name: "Model",
                subcommands: [PlanCommand.self, TrainCommand.self, GenerateCommand.self, ShardCommand.self]),
            CommandGroup(
                name: "Explore", subcommands: [DemoCommand.self, SimulateCommand.self, BenchCommand.self]),
        ])
}
