#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The processor time of this process and of its threads.
enum ProcessTime {
    /// Seconds that all threads spent so far, in user and in kernel mode.
    static var seconds: Double { read(CLOCK_PROCESS_CPUTIME_ID) }

    /// Seconds that the calling thread spent so far.
    static var threadSeconds: Double { read(CLOCK_THREAD_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
