import ArgumentParser

@main
struct Weft: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft", abstract: "A peer-to-peer overlay network that trains and runs AI models.")
}
