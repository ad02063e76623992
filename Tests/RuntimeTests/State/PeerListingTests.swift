import Primitives
import Runtime
import Testing

/// A peer is found by what a person would type.
@Suite struct PeerListingTests {
    private func peer(_ first: UInt8, _ last: UInt8 = 0) throws -> PeerID {
        try #require(PeerID(bytes: [first] + [UInt8](repeating: 0, count: 30) + [last]))
    }

    private func listing() throws -> PeerListing {
        PeerListing(
            peers: try [(peer(0xAA), "loom"), (peer(0xBB), "shuttle"), (peer(0xCC), "twin"), (peer(0xCC, 1), "twin")]
                .map {
                    PeerView(
                        peer: $0, name: $1, state: .alive, isSelf: false, address: nil, roundTripSeconds: nil,
                        stateSeconds: 0, incarnation: 0, capability: nil)
                })
    }

    @Test func byIdentityBeginningAndName() throws {
        let listing = try listing()
        let loom = try peer(0xAA)
        #expect(try listing.resolve(loom.description) == loom)
        #expect(try listing.resolve(loom.short) == loom)
        #expect(try listing.resolve(loom.short.uppercased()) == loom)
        #expect(try listing.resolve("loom") == loom)
        #expect(try listing.resolve("shuttle") == peer(0xBB))
    }

    @Test func neitherUnknownNorAmbiguous() throws {
        let listing = try listing()
        #expect(throws: NodeControlError.self) { try listing.resolve("weft") }
        #expect(throws: NodeControlError.self) { try listing.resolve("") }
        #expect(throws: NodeControlError.self) { try listing.resolve(try peer(0xEE).description) }
        #expect { try listing.resolve("twin") } throws: { "\($0)".contains("more than one peer") }
        #expect { try listing.resolve(try peer(0xCC).short) } throws: { "\($0)".contains("more than one peer") }
    }
}
