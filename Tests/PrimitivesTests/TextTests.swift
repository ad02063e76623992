import Primitives
import TestSupport
import Testing

/// Base32, identities, addresses and rates as text.
@Suite struct TextTests {
    /// RFC 4648, section 10, in lower case and without padding.
    @Test(arguments: [
        ("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb"),
        ("foobar", "mzxw6ytboi"),
    ]) func base32MatchesRFC4648(plain: String, encoded: String) {
        #expect(Base32.encode(plain.utf8) == encoded)
        #expect(Base32.decode(encoded) == Array(plain.utf8))
        #expect(Base32.decode(encoded.uppercased()) == Array(plain.utf8))
    }

    @Test(arguments: ["m1", "mz=q", "mzxw6y!", "m", "mzx", "mz", "mzxx", "ä"])
    func base32RefusesForeignAndSecondSpellings(_ text: String) {
        #expect(Base32.decode(text) == nil, "\(text)")
    }

    @Test func base32ComesBack() {
        var generator = SeededGenerator(seed: 32)
        for count in 0..<100 {
            let value = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            #expect(Base32.decode(Base32.encode(value)) == value, "\(value.hex)")
        }
    }

    @Test func identitiesAreWrittenReadAndOrderedByTheirBytes() throws {
        var generator = SeededGenerator(seed: 1)
        var previous: (PeerID, [UInt8])?
        for _ in 0..<200 {
            let value = (0..<32).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            let peer = try #require(PeerID(bytes: value))
            #expect(peer.bytes == value)
            #expect(peer.description.count == 52)
            #expect(PeerID(peer.description) == peer)
            #expect(peer.description.hasPrefix(peer.short) && peer.short.count == 10)
            if let previous {
                #expect((previous.0 < peer) == previous.1.lexicographicallyPrecedes(value))
                #expect((peer < previous.0) == value.lexicographicallyPrecedes(previous.1))
            }
            previous = (peer, value)
        }
        #expect(PeerID(bytes: [UInt8](repeating: 0, count: 31)) == nil)
        #expect(PeerID(bytes: [UInt8](repeating: 0, count: 33)) == nil)
        #expect(PeerID("aoqqpp7tzyil4") == nil)
    }

    @Test(arguments: [
        "192.0.2.1:7600", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:7600", "[2001:db8::1]:7601", "[::]:1",
        "[2001:db8:0:1:1:1:1:1]:80", "[fe80::1:0:0:1]:9", "[1:2:3:4:5:6:7:8]:1",
    ]) func addressesComeBack(_ text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(address.description == text)
        #expect(NetworkAddress(addressBytes: address.addressBytes, port: address.port) == address)
    }

    @Test(arguments: [
        "", "192.0.2.1", "192.0.2:1", "192.0.2.1.1:1", "192.0.2.256:1", "192.0.2.1:65536", "192.0.2.1:", "host:1",
        "::1:7600x", "[::1]7600", "[::1:7600", "[1:2:3:4:5:6:7]:1", "[1::2::3]:1", "[12345::]:1", "192.0.2.1:-1",
        "1 92.0.2.1:1", "0x7f.0.0.1:1",
    ]) func otherTextIsNoAddress(_ text: String) {
        #expect(NetworkAddress(text) == nil, "\(text)")
    }

    @Test func addressKinds() throws {
        #expect(try #require(NetworkAddress("127.9.9.9:1")).isLoopback)
        #expect(try #require(NetworkAddress("[::1]:1")).isLoopback)
        #expect(try !#require(NetworkAddress("128.0.0.1:1")).isLoopback)
        #expect(try #require(NetworkAddress("0.0.0.0:1")).isUnspecified)
        #expect(try #require(NetworkAddress("[::]:1")).isUnspecified)
        #expect(try #require(NetworkAddress("192.0.2.1:1")).isIPv4)
        #expect(try #require(NetworkAddress("[::ffff:192.0.2.1]:1")).isIPv4)
        #expect(try !#require(NetworkAddress("[::1]:1")).isIPv4)
    }

    @Test func ratesReadLikeQuotes() {
        #expect(Bandwidth(bitsPerSecond: 87_320_000).description == "87.3 Mbit/s")
        #expect(Bandwidth(bitsPerSecond: 1e9).description == "1 Gbit/s")
        #expect(Bandwidth(bitsPerSecond: 999_600).description == "1 Mbit/s")
        #expect(Bandwidth(bytesPerSecond: -1) == .zero)
        #expect(Bandwidth(bytesPerSecond: .nan) == .zero)
        #expect(Bandwidth(bytesPerSecond: 100).seconds(forBytes: 50) == 0.5)
    }
}

/// Identities are held by many async functions, whose frames are aligned to 16 bytes only.
@Suite struct LayoutTests {
    @Test func identitiesAndWhatHoldsThemAreNotOveraligned() {
        #expect(MemoryLayout<PeerID>.alignment <= 16)
        #expect(MemoryLayout<PeerID>.size == 32)
        #expect(MemoryLayout<Digest>.alignment <= 16)
        #expect(MemoryLayout<AgreementPublicKey>.alignment <= 16)
        #expect(MemoryLayout<NetworkAddress>.alignment <= 16)
    }
}
