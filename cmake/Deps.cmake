# The libraries the suite stands on, all Debian 12 packages; minimum versions are Debian's own.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET libevent_core>=2.1.12 libevent_extra>=2.1.12)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq>=15)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson>=1.7.15)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium>=1.0.18)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka>=1.1.5)

# libevent before Debian's +deb12u1 lets a request be smuggled past Content-Length (CVE-2026-63382 and seven more).
# The fixed library is the only one that exports this function, so ask for it instead of trusting a version string.
include(CheckLibraryExists)
pkg_get_variable(EVENT_LIBDIR libevent_extra libdir)
check_library_exists(event_extra evhttp_check_transfer_encoding_ "${EVENT_LIBDIR}" EVENT_IS_FIXED)
if(NOT EVENT_IS_FIXED)
  message(FATAL_ERROR "libevent is older than 2.1.12-stable-8+deb12u1: install it from bookworm-security")
endif()
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)
find_program(PROTOC_C NAMES protoc-c REQUIRED)
