internal import Foundation

/// The worked examples of NETWORK.md, so that tests can hold the document and the code to each other.
///
/// An example is an HTML comment `<!-- example NAME -->` followed by a fenced block of hex; white space is free and a
/// semicolon starts a comment that runs to the end of the line.
package enum NetworkExamples {
    /// The repository's root.
    package static var root: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .path
    }

    /// The bytes of the example, or `nil` if NETWORK.md has none of this name.
    package static func bytes(_ name: String) -> [UInt8]? {
        guard let marker = text.range(of: "<!-- example \(name) -->"),
            let open = text.range(of: "```", range: marker.upperBound..<text.endIndex),
            let start = text.range(of: "\n", range: open.upperBound..<text.endIndex),
            let close = text.range(of: "```", range: start.upperBound..<text.endIndex)
        else { return nil }
        return parse(text[start.upperBound..<close.lowerBound])
    }

    /// The whole document.
    package static let text = (try? String(contentsOfFile: root + "/NETWORK.md", encoding: .utf8)) ?? ""

    /// Names of all examples in the order of their appearance.
    package static var names: [String] {
        text.split(separator: "\n").compactMap { line in
            guard line.hasPrefix("<!-- example "), line.hasSuffix(" -->") else { return nil }
            return String(line.dropFirst("<!-- example ".count).dropLast(" -->".count))
        }
    }

    private static func parse(_ block: Substring) -> [UInt8]? {
        var digits: [UInt8] = []
        for line in block.split(separator: "\n") {
            for character in line.prefix(while: { $0 != ";" }) where !character.isWhitespace {
                guard let value = character.hexDigitValue else { return nil }
                digits.append(UInt8(value))
            }
        }
        guard digits.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

extension Collection<UInt8> {
    /// Lower-case hex, for messages of failed tests and for writing new examples.
    package var hex: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
