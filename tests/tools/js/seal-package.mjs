// Compiles the package @cloister/seal beside this file, where its dependencies are found.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** The URL of the compiled package. */
export function buildPackage() {
  const folder = join(here, "seal-built");
  const built = join(folder, "dist/index.js");
  if (!existsSync(built)) {
    cpSync(process.env.SEAL_PACKAGE, folder, { recursive: true });
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
    execFileSync(process.execPath, [compiler], { cwd: folder, stdio: "inherit" });
  }
  return pathToFileURL(built).href;
}

/** Where a browser finds the package and what it imports: URL path to file, and the import map. */
export function browserFiles() {
  buildPackage();
  const resolve = (name) => join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "esm");
  const folders = { "/seal/": join(here, "seal-built/dist") };
  const imports = { "@cloister/seal": "/seal/index.js" };
  for (const name of ["@hpke/core", "@hpke/common", "@hpke/dhkem-x25519", "@hpke/hybridkem-x-wing", "mlkem"]) {
    folders[`/${name}/`] = resolve(name);
    imports[name] = `/${name}/mod.js`;
  }
  return { folders, imports };
}
