import { packageBuild } from "../../tsup.base";

// The prefix keeps Node's modules recognisable; package.json switches them off in browser bundles.
export default packageBuild({ removeNodeProtocol: false });
