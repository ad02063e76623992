import Control
import Foundation
import Runtime

/// Whether output goes to a person, and how wide that person's window is.
struct Terminal: Sendable {
    /// A terminal that understands cursor movements.
    let isInteractive: Bool
    /// Colour is for terminals, unless `NO_COLOR` is set (no-color.org).
    let colour: Bool
    let columns: Int

    /// Standard output.
    static let output = Terminal(descriptor: 1)
    /// Standard error.
    static let errors = Terminal(descriptor: 2)

    private init(descriptor: Int32) {
        let environment = ProcessInfo.processInfo.environment
        isInteractive = Platform.isTerminal(descriptor) && environment["TERM"] != "dumb"
        colour = isInteractive && (environment["NO_COLOR"] ?? "").isEmpty
        columns = Platform.terminalColumns(descriptor) ?? 100
    }

    func style(_ text: String, _ style: TextStyle) -> String { style.apply(to: text, colour: colour) }
}

/// A line on standard output that is written over while work goes on; without a terminal nothing of it is shown.
final class ProgressLine {
    private let terminal = Terminal.output
    private var isShown = false

    /// Replaces the line. What does not fit is cut, since a wrapped line cannot be written over.
    func show(_ text: String) {
        guard terminal.isInteractive else { return }
        write("\r\u{1B}[2K" + String(text.prefix(max(terminal.columns - 1, 20))))
        isShown = true
    }

    /// Removes the line, so that others can be printed.
    func clear() {
        guard isShown else { return }
        write("\r\u{1B}[2K")
        isShown = false
    }

    /// Prints a line above.
    func print(_ text: String) {
        clear()
        write(text + "\n")
    }

    private func write(_ text: String) {
        Swift.print(text, terminator: "")
        Platform.flushOutput()
    }
}

/// Prints a line of a story that goes on, so that whoever follows it through a pipe sees it now.
func say(_ text: String) {
    print(text)
    Platform.flushOutput()
}
