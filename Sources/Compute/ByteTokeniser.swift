/// Text as bytes: token number = byte value, so the vocabulary has 256 entries and every file is a text.
package enum ByteTokeniser {
    package static let vocabulary = 256

    /// One token a byte.
    package static func encode(_ bytes: some Sequence<UInt8>) -> [Int32] { bytes.map { Int32($0) } }

    /// One token a UTF-8 byte.
    package static func encode(_ text: String) -> [Int32] { encode(text.utf8) }

    /// The bytes of tokens; numbers that are no byte are left out.
    package static func decode(_ tokens: some Sequence<Int32>) -> [UInt8] { tokens.compactMap { UInt8(exactly: $0) } }
}
