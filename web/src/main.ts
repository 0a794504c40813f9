import { mount } from "svelte";
import "./app.css";
import Shell from "./shell/Shell.svelte";
import { readAddress } from "./state/address";
import { warmUp } from "./views/Embedding/renderer";

const target = document.getElementById("app");
if (target) mount(Shell, { target });
if (["embedding", null].includes(readAddress(location.hash).view)) warmUp(); // While the answers are on their way.
