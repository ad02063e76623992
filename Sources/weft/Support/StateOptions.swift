import ArgumentParser
import Runtime

/// `--state`, which every command about a node takes.
struct StateOptions: ParsableArguments {
    @Option(name: .customLong("state"), help: "State directory (default: $WEFT_STATE, else the platform's place).")
    var path: String?

    var directory: StateDirectory { StateDirectory(option: path) }
}

/// `--json`, which every listing takes.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON with stable keys instead of text for people.")
    var json = false
}
