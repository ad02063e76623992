/// Why bytes are not a safetensors file that we accept.
package enum SafetensorsError: Error, Equatable, Sendable {
    /// The file ends before its header does.
    case truncated(needed: UInt64, actual: Int)
    /// The header is longer than `SafetensorsHeader.maximumBytes`.
    case headerTooLong(UInt64)
    /// The header is not the JSON that the format allows; `offset` counts the header's bytes.
    case malformedHeader(String, offset: Int)
    /// A tensor's description contradicts itself or the file.
    case badTensor(String, String)
    /// The file holds no tensor of that name.
    case missingTensor(String)
    /// The tensor exists but has another element type or shape than the caller can use.
    case unsuitableTensor(String, String)
}

extension SafetensorsError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .truncated(let needed, let actual):
            "The safetensors file is cut off: its header needs \(needed) bytes and \(actual) are there."
        case .headerTooLong(let bytes):
            "The safetensors header claims \(bytes) bytes; at most \(SafetensorsHeader.maximumBytes) are accepted."
        case .malformedHeader(let why, let offset): "The safetensors header is malformed at byte \(offset): \(why)."
        case .badTensor(let name, let why): "Tensor \(name) of the safetensors file is invalid: \(why)."
        case .missingTensor(let name): "The safetensors file holds no tensor named \(name)."
        case .unsuitableTensor(let name, let why): "Tensor \(name) cannot be used here: \(why)."
        }
    }
}
