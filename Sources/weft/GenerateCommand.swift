import ArgumentParser
import Foundation
import Runtime

/// Text from a trained model, without any node.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue a prompt with a trained model.")

    @Option(help: "A checkpoint's folder, or a folder with several, of which the newest is taken.")
    var checkpoint: String

    @Option(help: "The text to continue.")
    var prompt = "\n"

    @Option(help: "How many bytes to write.")
    var length = 500

    @Option(help: "0 takes the likeliest byte each time; 1 draws as the model says.")
    var temperature = 0.8

    @Option(help: "Draw among the likeliest so many; 0 among all.")
    var topK = 40

    @Option(help: "Seed of the drawing: the same seed gives the same text.")
    var seed: UInt64 = 1

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard length >= 1 else { throw ValidationError("--length must be at least 1.") }
        guard temperature >= 0 else { throw ValidationError("--temperature cannot be negative.") }
        guard topK >= 0 else { throw ValidationError("--top-k cannot be negative.") }
    }

    func run() async throws {
        let command = self
        let (prompt, isStreaming) = (prompt, !output.json)
        let drawn = try await onOwnThread {
            if isStreaming { FileHandle.standardOutput.write(Data(prompt.utf8)) }
            return try SampledText.bytes(
                after: prompt, checkpoint: command.checkpoint, count: command.length,
                temperature: command.temperature, topK: command.topK, seed: command.seed
            ) { byte in
                if isStreaming { FileHandle.standardOutput.write(Data([byte])) }
            }
        }
        if output.json {
            try printJSON(Generated(prompt: prompt, text: String(decoding: drawn, as: UTF8.self), seed: seed))
        } else {
            print("")
        }
    }

    private struct Generated: Encodable {
        let prompt: String
        let text: String
        let seed: UInt64
    }
}
