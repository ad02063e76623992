import Testing

@testable import Runtime

@Suite("Process memory")
struct ProcessMemoryTests {
    @Test("Only clean pages of files are given back, never what was or may be written")
    func cleanRanges() {
        func mapping(_ line: String, anonymous: Int) -> String {
            "\(line)\nSize: 64 kB\nRss: 60 kB\nAnonymous: \(anonymous) kB\nAnonHugePages: 0 kB\nVmFlags: rd mr mw me sd\n"
        }
        let smaps =
            mapping("55d0c0000000-55d0c0010000 r--p 00000000 08:01 131 /usr/bin/weft", anonymous: 0)
            + mapping("55d0c0010000-55d0c0a00000 r-xp 00010000 08:01 131 /usr/bin/weft", anonymous: 0)
            + mapping("55d0c0a00000-55d0c0b00000 r--p 00a00000 08:01 131 /usr/bin/weft", anonymous: 1024)
            + mapping("55d0c0b00000-55d0c0c00000 rw-p 00b00000 08:01 131 /usr/bin/weft", anonymous: 0)
            + mapping("7f0000000000-7f0000100000 rwxp 00000000 08:01 132 /usr/lib/odd.so", anonymous: 0)
            + mapping("7f0000200000-7f0000201000 r-xp 00000000 00:00 0", anonymous: 0)
            + mapping("7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]", anonymous: 0)
            + "7f0000280000-7f0000290000 r-xp 00000000 08:01 133 /usr/lib/no-detail.so\n"
            + mapping("7f0000300000-7f0000340000 r-xp 00001000 08:01 133 /usr/lib/with space.so", anonymous: 0)
            + "not a line of it\nAnonymous: 0 kB\n"
        let found = ProcessMemory.cleanRanges(smaps: smaps)
        #expect(found.map(\.path) == ["/usr/bin/weft", "/usr/bin/weft", "/usr/lib/with space.so"])
        #expect(
            found.map(\.addresses) == [
                0x55d0_c000_0000..<0x55d0_c001_0000, 0x55d0_c001_0000..<0x55d0_c0a0_0000,
                0x7f00_0030_0000..<0x7f00_0034_0000,
            ])
    }

    @Test("A process goes on after a trim, with what it had")
    func trim() {
        let kept = (0..<100_000).map { "\($0)" }
        for _ in 0..<3 { ProcessMemory.trim() }  // the first one looks for the program's code, the others know it
        #expect(kept.last == "99999")
        #expect(kept.joined().utf8.count == 488_890)
    }
}
