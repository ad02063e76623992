import Foundation

/// The program under test: the `weft` that was built beside the tests.
enum WeftBinary {
    /// Where it lies; `nil` if the build left none.
    static let path: String? = {
        var folders: [URL] = []
        if let executable = Bundle.main.executableURL { folders.append(executable.deletingLastPathComponent()) }
        for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
            folders.append(bundle.bundleURL.deletingLastPathComponent())
        }
        // Tests/SystemTests/Support/WeftBinary.swift
        let root = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        folders.append(root.appending(path: ".build/debug"))
        return folders.map { $0.appending(path: "weft").path }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// The environment for it: nothing of the user's own swarm, no colour.
    static func environment(home: String) -> [String: String] {
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("WEFT_") }
        environment["HOME"] = home
        environment["XDG_STATE_HOME"] = nil
        environment["NO_COLOR"] = "1"
        environment["TMPDIR"] = home
        return environment
    }
}

/// A failure of the harness or of what it watches, in a sentence.
struct HarnessError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
