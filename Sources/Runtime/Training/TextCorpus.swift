internal import Foundation

/// Training text from a file or a folder.
///
/// A folder's text files are joined in the order of their paths, so every machine with the same files gets the same
/// bytes and with them the same shard and the same loss.
package struct TextCorpus: Sendable {
    /// The joined bytes.
    package let bytes: [UInt8]
    /// How many files went in.
    package let fileCount: Int

    /// Endings of files that count as text in a folder.
    package static let textExtensions: Set<String> = [
        "c", "cpp", "csv", "go", "h", "html", "java", "js", "json", "md", "py", "rs", "rst", "sh", "swift", "tex",
        "toml",
        "ts", "txt", "xml", "yaml", "yml",
    ]

    /// More text than this is refused: the built-in engine could not read it in weeks.
    package static let maximumBytes = 1 << 30

    /// Reads a file, or every text file below a folder (hidden ones and build products left out).
    package init(contentsOf path: String) throws(TextCorpusError) {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw .notFound(path)
        }
        let files = isDirectory.boolValue ? Self.textFiles(below: path) : [path]
        try self.init(files: files, described: path)
    }

    /// The documents and Swift sources of a checkout of this project, the default text.
    package init(projectCheckout root: String) throws(TextCorpusError) {
        let files = Self.textFiles(below: root).filter { file in
            let inside = file.dropFirst(root.count)
            return file.hasSuffix(".md") || (file.hasSuffix(".swift") && inside.hasPrefix("/Sources/"))
        }
        try self.init(files: files, described: root)
    }

    private init(files: [String], described path: String) throws(TextCorpusError) {
        var joined: [UInt8] = []
        for file in files {
            guard let data = FileManager.default.contents(atPath: file) else { throw .unreadable(file) }
            guard joined.count + data.count <= Self.maximumBytes else { throw .tooLarge(path) }
            joined.append(contentsOf: data)
            if files.count > 1 { joined.append(UInt8(ascii: "\n")) }
        }
        guard !joined.isEmpty else { throw .empty(path) }
        bytes = joined
        fileCount = files.count
    }

    private static func textFiles(below root: String) -> [String] {
        guard let walker = FileManager.default.enumerator(atPath: root) else { return [] }
        var files: [String] = []
        while let relative = walker.nextObject() as? String {
            let name = (relative as NSString).lastPathComponent
            if name.hasPrefix(".") {
                walker.skipDescendants()
            } else if textExtensions.contains((relative as NSString).pathExtension.lowercased()) {
                files.append(relative)
            }
        }
        // Sorted by bytes: the order must not depend on the file system or the locale.
        return files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.map { root + "/" + $0 }
    }
}

/// Why there is no text to train on.
package enum TextCorpusError: Error, Hashable, Sendable, CustomStringConvertible {
    case notFound(String)
    case unreadable(String)
    case empty(String)
    case tooLarge(String)

    package var description: String {
        switch self {
        case .notFound(let path): "there is no file or folder '\(path)' to take text from"
        case .unreadable(let path): "'\(path)' cannot be read: check its permissions"
        case .empty(let path): "'\(path)' holds no text: name a text file, or a folder with some"
        case .tooLarge(let path): "the text in '\(path)' is over 1 GiB: give a smaller part of it"
        }
    }
}
