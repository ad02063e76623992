import Primitives
import TestSupport
import Testing
import Wire

/// Contacts and signed records, against NETWORK.md and against damage.
@Suite struct RecordTests {
    @Test func contactIsAsDocumented() throws {
        let contact = try Fixture.contact()
        #expect(contact.wireBytes.hex == NetworkExamples.bytes("wire/contact")?.hex)
        #expect(try Contact(wireBytes: contact.wireBytes) == contact)
    }

    @Test func recordIsAsDocumentedAndAuthentic() throws {
        let signer = try Fixture.signer()
        let record = PeerRecord(contact: try Fixture.contact(), incarnation: 1_750_000_000_000, signer: signer)
        #expect(record.wireBytes.hex == NetworkExamples.bytes("wire/peer-record")?.hex)
        let read = try PeerRecord(wireBytes: record.wireBytes)
        #expect(read == record)
        #expect(read.isAuthentic(signer))
    }

    @Test func everyChangedBitIsRefusedOrNotAuthentic() throws {
        let signer = try Fixture.signer()
        let bytes = PeerRecord(contact: try Fixture.contact(), incarnation: 7, signer: signer).wireBytes
        for position in bytes.indices {
            for bit in [0, 3, 7] {
                var altered = bytes
                altered[position] ^= 1 << UInt8(bit)
                let record = try? PeerRecord(wireBytes: altered)
                #expect(record?.isAuthentic(signer) != true, "bit \(bit) of byte \(position) was changed")
            }
        }
    }

    @Test func everyTruncationIsRefused() throws {
        let bytes = PeerRecord(contact: try Fixture.contact(), incarnation: 7, signer: try Fixture.signer()).wireBytes
        for count in 0..<bytes.count {
            #expect(throws: WireError.self) { try PeerRecord(wireBytes: Array(bytes[..<count])) }
        }
        #expect(throws: WireError.trailingBytes) { try PeerRecord(wireBytes: bytes + [0]) }
    }

    @Test func aContactHasAtMostEightAddresses() throws {
        var contact = try Fixture.contact()
        contact.addresses = Array(repeating: contact.addresses[0], count: 9)
        #expect(throws: WireError.outOfRange) { try Contact(wireBytes: contact.wireBytes) }
    }
}
