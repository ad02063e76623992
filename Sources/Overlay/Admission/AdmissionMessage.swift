package import Wire

/// What peers of a closed swarm tell each other about its list.
package enum AdmissionMessage: Hashable, Sendable {
    /// A page of the founder's list.
    case page(SignedEntry)
    /// The versions of the sender's pages, in the order of their index; zero for a page that it has not got.
    case versions([UInt64])
}

extension AdmissionMessage: DatagramMessage {
    /// Type bytes of this protocol.
    package static let types: ClosedRange<UInt8> = 0x60...0x6F

    package func encode(to writer: inout WireWriter) {
        switch self {
        case .page(let entry):
            writer.write(UInt8(0x60))
            writer.write(entry)
        case .versions(let versions):
            writer.write(UInt8(0x61))
            writer.write(UInt8(versions.count))
            for version in versions { writer.write(version) }
        }
    }

    package init(type: UInt8, from reader: inout WireReader) throws(WireError) {
        switch type {
        case 0x60: self = .page(try reader.read(SignedEntry.self))
        case 0x61:
            let count = Int(try reader.read(UInt8.self))
            guard count <= Limits.admissionPages else { throw .outOfRange }
            var versions: [UInt64] = []
            for _ in 0..<count { versions.append(try reader.read()) }
            self = .versions(versions)
        default: throw .unknownType(type)
        }
    }
}
