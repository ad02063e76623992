import Primitives
import TestSupport
import Testing

/// ChaCha20-Poly1305, XChaCha20-Poly1305 and AES-256-GCM against their published vectors.
@Suite struct CipherTests {
    /// RFC 8439, appendix A.5: its nonce is four zero bytes and a counter, which is the form we use.
    private let key = bytes("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
    private let counter: UInt64 = 0x0807_0605_0403_0201
    private let associatedData = bytes("f33388860000000000004e91")
    private let plaintext = Array(
        ("Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
            + "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
            + "material or to cite them other than as /\u{201C}work in progress./\u{201D}").utf8)
    private let sealed = bytes(
        """
        64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2
        4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf
        332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855
        9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4
        b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e
        af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a
        0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10
        49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29
        a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38
        """)

    @Test func datagramCipherMatchesRFC8439() {
        let key = SecretBytes(copying: self.key)
        let made = ChaChaPoly.seal(
            plaintext, key: key, nonce: NonceCounter(counter), associatedData: associatedData)
        #expect(made.hex == sealed.hex)
        let opened = ChaChaPoly.open(
            sealed, key: key, nonce: NonceCounter(counter), associatedData: associatedData)
        #expect(opened == plaintext)
    }

    @Test func datagramCipherRefusesWhatWasAltered() {
        let key = SecretBytes(copying: self.key)
        for position in stride(from: 0, to: sealed.count, by: 7) {
            var altered = sealed
            altered[position] ^= 0x40
            let opened = ChaChaPoly.open(
                altered, key: key, nonce: NonceCounter(counter), associatedData: associatedData)
            #expect(opened == nil, "byte \(position) was changed")
        }
        let otherNonce = ChaChaPoly.open(
            sealed, key: key, nonce: NonceCounter(counter + 1), associatedData: associatedData)
        #expect(otherNonce == nil)
        let otherData = ChaChaPoly.open(sealed, key: key, nonce: NonceCounter(counter), associatedData: [])
        #expect(otherData == nil)
        let short = ChaChaPoly.open(
            sealed.prefix(15), key: key, nonce: NonceCounter(counter), associatedData: associatedData)
        #expect(short == nil)
    }

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    @Test func cookieCipherMatchesTheDraft() {
        let key = Array<UInt8>(0x80..<0xA0)
        let nonce = Array<UInt8>(0x40..<0x58)
        let data = bytes("50515253c0c1c2c3c4c5c6c7")
        let plaintext = Array(
            ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
                + "would be it.").utf8)
        let expected = """
            bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
            ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
            21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49
            """
        let made = ChaChaPoly.sealExtended(plaintext, key: key, nonce: nonce, associatedData: data)
        #expect(made.hex == expected)
        #expect(ChaChaPoly.openExtended(made, key: key, nonce: nonce, associatedData: data) == plaintext)
        #expect(ChaChaPoly.openExtended(made, key: key, nonce: nonce, associatedData: []) == nil)
        #expect(ChaChaPoly.openExtended(made, key: key, nonce: Array(nonce.dropLast()), associatedData: data) == nil)
    }

    private func seal(_ cipher: BulkCipher, _ text: [UInt8], _ counter: UInt64, _ data: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        try text.withUnsafeBytes { text in
            try data.withUnsafeBytes { data in
                try cipher.seal(text, counter: counter, associatedData: data) { output.append(contentsOf: $0) }
            }
        }
        return output
    }

    private func open(_ cipher: BulkCipher, _ text: [UInt8], _ counter: UInt64, _ data: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        try text.withUnsafeBytes { text in
            try data.withUnsafeBytes { data in
                try cipher.open(text, counter: counter, associatedData: data) { output.append(contentsOf: $0) }
            }
        }
        return output
    }

    @Test func recordCipherMatchesRFC8439() throws {
        let cipher = BulkCipher(suite: .chaCha20Poly1305, key: SecretBytes(copying: key))
        #expect(try seal(cipher, plaintext, counter, associatedData).hex == sealed.hex)
        #expect(try open(cipher, sealed, counter, associatedData) == plaintext)
    }

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14.
    @Test func recordCipherMatchesGCM() throws {
        let cipher = BulkCipher(suite: .aes256GCM, key: SecretBytes(copying: [UInt8](repeating: 0, count: 32)))
        let zeros = [UInt8](repeating: 0, count: 16)
        let made = try seal(cipher, zeros, 0, [])
        #expect(made.hex == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
        #expect(try open(cipher, made, 0, []) == zeros)
    }

    @Test(arguments: BulkCipher.Suite.allCases) func recordCipherRefusesWhatWasAltered(_ suite: BulkCipher.Suite) throws
    {
        let cipher = BulkCipher(suite: suite, key: SecretBytes(copying: key))
        let record = try seal(cipher, plaintext, 7, [1, 2])
        #expect(try open(cipher, record, 7, [1, 2]) == plaintext)
        var altered = record
        altered[record.count / 2] ^= 1
        #expect(throws: BulkCipherError.notAuthentic) { try open(cipher, altered, 7, [1, 2]) }
        #expect(throws: BulkCipherError.notAuthentic) { try open(cipher, record, 8, [1, 2]) }
        #expect(throws: BulkCipherError.notAuthentic) { try open(cipher, record, 7, [1, 3]) }
        #expect(throws: BulkCipherError.notAuthentic) { try open(cipher, Array(record.prefix(15)), 7, [1, 2]) }
    }
}
