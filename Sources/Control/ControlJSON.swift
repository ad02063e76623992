internal import Foundation
package import NIOCore
package import Runtime

/// The JSON of the local API: sorted keys, one line a value.
package enum ControlJSON {
    /// One line without its end.
    package static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return ByteBuffer(bytes: try encoder.encode(value))
    }

    package static func decode<Value: Decodable>(_: Value.Type, from buffer: ByteBuffer) throws -> Value {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(Value.self, from: Data(buffer.readableBytesView))
    }
}

/// How a failure travels: as the body of an answer, or as the last line of a stream whose head was sent already.
package struct ControlFailure: Codable, Hashable, Sendable {
    package struct Body: Codable, Hashable, Sendable {
        package var kind: NodeControlError.Kind
        package var message: String
    }

    package var error: Body

    /// Any error as one; those that are not the node's own are failures with their description.
    package init(_ error: any Error) {
        let known = error as? NodeControlError
        self.error = Body(
            kind: known?.kind ?? .failed, message: (known?.message ?? "\(error)").replacing("\n", with: " "))
    }

    package var asError: NodeControlError { NodeControlError(error.kind, error.message) }

    /// How a line with a failure begins. No event has a first key of this name.
    static let linePrefix = Array("{\"error\":".utf8)
}

/// An answer or request without contents.
package struct Empty: Codable, Hashable, Sendable {
    package init() {}
}
