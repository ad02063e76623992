#if canImport(Glibc)
    internal import Foundation
    internal import Glibc
    internal import Synchronization
#endif

/// Keeps an idle process small, and a large one fast. All of it is for Linux with glibc; elsewhere the calls do nothing.
package enum ProcessMemory {
    /// Lets all threads share two allocator arenas: glibc would give each thread one of its own and return none of them.
    /// Call it before the first thread starts.
    package static func shareArenas() {
        #if canImport(Glibc)
            typealias Function = @convention(c) (CInt, CInt) -> CInt
            // From malloc.h, which Swift's Glibc module leaves out: M_ARENA_MAX.
            if let function = symbol("mallopt") { _ = unsafeBitCast(function, to: Function.self)(-8, 2) }
        #endif
    }

    /// Starts this program again, once, with its heap on pages of two megabytes: a simulation of a thousand peers walks at
    /// random through three gigabytes, and spends a fifth of its time on looking up small pages. glibc takes this setting from
    /// the environment alone. Does nothing where that is not possible, or if the user has chosen settings himself.
    package static func restartWithHugePages() {
        #if canImport(Glibc)
            let name = "GLIBC_TUNABLES"
            guard getenv(name) == nil else { return }
            setenv(name, "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864", 1)
            execv("/proc/self/exe", CommandLine.unsafeArgv)
        #endif
    }

    /// Gives back what was needed once: free pages of the heap, and code that only a start runs through. Code that is
    /// used again is mapped again from the page cache at its first use.
    package static func trim() {
        #if canImport(Glibc)
            typealias Function = @convention(c) (CInt) -> CInt
            if let function = symbol("malloc_trim") { _ = unsafeBitCast(function, to: Function.self)(0) }
            let ranges = program.withLock { known in
                if !known.isEmpty { return known }
                // Libraries once, for they may be unloaded; the program itself stays where it is for good.
                let clean = cleanRanges(smaps: (try? String(contentsOfFile: "/proc/self/smaps", encoding: .utf8)) ?? "")
                let path = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
                known = clean.filter { $0.path == path }.map(\.addresses)
                for range in known { split(range) }
                return clean.map(\.addresses)
            }
            for range in ranges {
                // Clean pages of a file that cannot be written through this mapping: nothing is lost.
                _ = madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED)
            }
        #endif
    }

    #if canImport(Glibc)
        /// Where the program's own code and constants are, once they have been looked for.
        private static let program = Mutex<[Range<UInt>]>([])

        /// Has Linux map code in pieces of 16 KiB. It maps up to 64 KiB around whatever is used, but not beyond the limits of an area
        /// of one kind, and of code that is scattered over 30 MB most of that is never used: an idle node would keep three
        /// times what it runs. The kind is the advice on reading ahead, which says nothing about pages that are in the cache.
        private static func split(_ range: Range<UInt>) {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: 2 * pieceBytes) {
                let count = Int(min(UInt(pieceBytes), range.upperBound - start))
                _ = madvise(UnsafeMutableRawPointer(bitPattern: start), count, MADV_RANDOM)
            }
        }

        private static let pieceBytes: UInt.Stride = 16384
    #endif

    /// The address ranges of code and constants that come from a file, cannot be written and never were, of a text in the form of
    /// smaps in proc_pid_smaps(5). What the dynamic linker wrote before it took the right to write away is anonymous memory,
    /// which no file could bring back.
    static func cleanRanges(smaps: String) -> [(path: String, addresses: Range<UInt>)] {
        var ranges: [(path: String, addresses: Range<UInt>)] = []
        var candidate: (path: String, addresses: Range<UInt>)?
        for line in smaps.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            if fields.count >= 5, fields[0].contains("-") {
                candidate = nil
                let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
                guard fields.count >= 6, fields[1] == "r-xp" || fields[1] == "r--p", fields[5].hasPrefix("/"),
                    bounds.count == 2, bounds[0] < bounds[1]
                else { continue }
                candidate = (fields[5...].joined(separator: " "), bounds[0]..<bounds[1])
            } else if fields.count == 3, fields[0] == "Anonymous:", let range = candidate {
                if fields[1] == "0" { ranges.append(range) }
                candidate = nil
            }
        }
        return ranges
    }

    #if canImport(Glibc)
        /// A function of the C library; `nil` if it is another library that lacks it.
        private static func symbol(_ name: String) -> UnsafeMutableRawPointer? { dlsym(nil, name) }
    #endif
}
