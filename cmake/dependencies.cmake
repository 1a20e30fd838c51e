# Every library we stand on, as imported targets dep_<name>. TRIBUTARY_DEPS_ROOT is the folder into which
# `./dev setup` unpacked Debian packages when it could not install them.
set(TRIBUTARY_DEPS_ROOT "" CACHE PATH "unpacked Debian packages, or empty for the system's")
if(TRIBUTARY_DEPS_ROOT)
    list(PREPEND CMAKE_PREFIX_PATH ${TRIBUTARY_DEPS_ROOT}/usr)
    list(PREPEND CMAKE_LIBRARY_PATH ${TRIBUTARY_DEPS_ROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}
        ${TRIBUTARY_DEPS_ROOT}/lib/${CMAKE_LIBRARY_ARCHITECTURE})
    list(PREPEND CMAKE_INCLUDE_PATH ${TRIBUTARY_DEPS_ROOT}/usr/include
        ${TRIBUTARY_DEPS_ROOT}/usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
    add_link_options(-Wl,-rpath,${TRIBUTARY_DEPS_ROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}
        -Wl,-rpath,${TRIBUTARY_DEPS_ROOT}/lib/${CMAKE_LIBRARY_ARCHITECTURE}
        -Wl,-rpath-link,${TRIBUTARY_DEPS_ROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
endif()

function(tributary_dependency name header)
    find_path(DEP_${name}_INCLUDE ${header} REQUIRED)
    set(libraries)
    foreach(library ${ARGN})
        # a|b: the names it bears in different releases
        string(REPLACE "|" ";" names ${library})
        list(GET names 0 first)
        find_library(DEP_${name}_${first} NAMES ${names} REQUIRED)
        list(APPEND libraries ${DEP_${name}_${first}})
    endforeach()
    add_library(dep_${name} INTERFACE IMPORTED GLOBAL)
    target_include_directories(dep_${name} SYSTEM INTERFACE ${DEP_${name}_INCLUDE})
    target_link_libraries(dep_${name} INTERFACE ${libraries})
endfunction()

tributary_dependency(xxhash xxhash.h xxhash)
tributary_dependency(sodium sodium.h sodium)
tributary_dependency(msgpack msgpack.h "msgpackc|msgpack-c")
tributary_dependency(zstd zstd.h zstd)
tributary_dependency(zlib zlib.h z)
tributary_dependency(lmdb lmdb.h lmdb)
tributary_dependency(nats nats/nats.h nats)
tributary_dependency(nghttp2 nghttp2/nghttp2.h nghttp2)
tributary_dependency(openssl openssl/ssl.h ssl crypto)
tributary_dependency(uv uv.h uv)
tributary_dependency(microhttpd microhttpd.h microhttpd)
tributary_dependency(cyaml cyaml/cyaml.h cyaml yaml)
tributary_dependency(jansson jansson.h jansson)
tributary_dependency(curl curl/curl.h curl)
tributary_dependency(snappy snappy-c.h snappy)
if(TRIBUTARY_TESTS)
    tributary_dependency(criterion criterion/criterion.h criterion)
    tributary_dependency(avro avro.h avro)
endif()
find_package(Threads REQUIRED)
