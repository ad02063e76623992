import Foundation

/// A failure that ends a command with status 1 and one line on standard error.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Prints a value as JSON with sorted keys.
func printJSON(_ value: some Encodable) throws { print(try jsonText(value), terminator: "") }

/// Prints a value as one line of JSON with sorted keys, and hands it on at once: for streams of events.
func printJSONLine(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    say(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Prints a line on standard error, so that standard output holds only what a script wants.
func printError(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

/// A value as indented JSON with sorted keys and a line end.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}

/// Writes a text file whole.
func writeFile(_ text: String, to path: String) throws {
    do { try Data(text.utf8).write(to: URL(filePath: path), options: .atomic) } catch {
        throw CommandFailure("cannot write \(path): \(error.localizedDescription)")
    }
}

/// A path as another process understands it.
func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
}
