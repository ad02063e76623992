// swift-tools-version: 6.2
import PackageDescription

// Every target compiles in Swift 6 mode with the stricter upcoming features and with warnings as errors.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")

/// A room that may not see IO, clocks or randomness (`Tools/lint` checks its imports).
func pureRoom(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ room: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .testTarget(
        name: "\(room)Tests", dependencies: dependencies + ["TestSupport"], resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "weft",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "weft", targets: ["weft"]),
        .library(name: "FuzzTargets", targets: ["FuzzTargets"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    ],
    targets: [
        .systemLibrary(
            name: "CSodium", pkgConfig: "libsodium",
            providers: [.apt(["libsodium-dev"]), .brew(["libsodium"])]),
        .target(name: "CKernels"),
        .target(name: "CTimestamps"),

        pureRoom("Primitives", ["CSodium", .product(name: "Crypto", package: "swift-crypto")]),
        pureRoom("Wire", ["Primitives"]),
        pureRoom("Noise", ["Primitives", "Wire"]),
        pureRoom("Overlay", ["Primitives", "Wire"]),
        pureRoom("Topology", ["Primitives", "Wire"]),
        pureRoom("Shards", ["Primitives", "Wire"]),
        pureRoom("Pipeline", ["Primitives", "Wire", "Shards"]),
        pureRoom("Compute", ["Primitives", "CKernels"]),
        pureRoom(
            "Simulation",
            ["Primitives", "Wire", "Noise", "Overlay", "Topology", "Shards", "Pipeline", "Compute"]),
        pureRoom(
            "FuzzTargets",
            ["Primitives", "Wire", "Noise", "Overlay", "Topology", "Shards", "Pipeline", "Compute"]),

        .target(
            name: "Runtime",
            dependencies: [
                "CTimestamps", "Primitives", "Wire", "Noise", "Overlay", "Topology", "Shards", "Pipeline", "Compute",
                logging, metrics, lifecycle,
            ] + nio,
            swiftSettings: strict),
        .target(
            name: "Control",
            dependencies: [
                "Runtime", "Primitives", "Overlay", "Topology", logging, metrics, lifecycle,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ] + nio,
            swiftSettings: strict),
        .executableTarget(
            name: "weft",
            dependencies: [
                "Control", "Simulation", "Runtime", "Primitives", "Wire", "Noise", "Overlay", "Topology", "Shards",
                "Pipeline", "Compute", logging, metrics, lifecycle, signals,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ] + nio,
            swiftSettings: strict,
            linkerSettings: [
                // Nothing is loaded into the program that would look for its symbols, so what it does not use need not stay in
                // it, and equal functions need not be there twice: an idle node keeps 1.5 MB less of it in memory.
                .unsafeFlags(
                    ["-Xlinker", "--no-export-dynamic", "-Xlinker", "--icf=safe"],
                    .when(platforms: [.linux], configuration: .release))
            ]),

        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        tests("Primitives", ["Primitives"]),
        tests("Wire", ["Wire", "Primitives"]),
        tests("Noise", ["Noise", "Wire", "Primitives"], resources: [.copy("Fixtures")]),
        tests("Overlay", ["Overlay", "Wire", "Primitives"]),
        tests("Topology", ["Topology", "Primitives", "Wire"], resources: [.copy("Fixtures")]),
        tests("Shards", ["Shards", "Primitives", "Wire"]),
        tests("Pipeline", ["Pipeline", "Shards", "Wire", "Primitives"]),
        tests("Compute", ["Compute", "CKernels", "Primitives"], resources: [.copy("Fixtures")]),
        tests("Simulation", ["Simulation", "Noise", "Overlay", "Topology", "Primitives", "Wire"]),
        tests(
            "Runtime",
            [
                "Runtime", "Primitives", "Wire", "Noise", "Overlay", "Topology", "Shards", "Pipeline", "Compute",
                logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]
                + nio),
        tests("Control", ["Control", "Runtime", "Primitives", logging, metrics, lifecycle] + nio),
        tests("FuzzTargets", ["FuzzTargets", "Primitives"]),
        tests("System", ["Primitives", "Wire", "Noise", "Overlay", "weft"]),
    ]
)
