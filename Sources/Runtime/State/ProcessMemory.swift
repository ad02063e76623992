#if canImport(Glibc)
    internal import Foundation
    internal import Glibc
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
            for range in cleanRanges(smaps: (try? String(contentsOfFile: "/proc/self/smaps", encoding: .utf8)) ?? "") {
                // Clean pages of a file that cannot be written through this mapping: nothing is lost.
                _ = madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, MADV_DONTNEED)
            }
        #endif
    }

    /// The address ranges of code and constants that come from a file, cannot be written and never were, of a text in the form of
    /// smaps in proc_pid_smaps(5). What the dynamic linker wrote before it took the right to write away is anonymous memory,
    /// which no file could bring back.
    static func cleanRanges(smaps: String) -> [Range<UInt>] {
        var ranges: [Range<UInt>] = []
        var candidate: Range<UInt>?
        for line in smaps.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            if fields.count >= 5, fields[0].contains("-") {
                candidate = nil
                let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
                guard fields.count >= 6, fields[1] == "r-xp" || fields[1] == "r--p", fields[5].hasPrefix("/"),
                    bounds.count == 2, bounds[0] < bounds[1]
                else { continue }
                candidate = bounds[0]..<bounds[1]
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
