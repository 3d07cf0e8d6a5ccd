// What every page does beside showing: colours, keys, times that go on, lists that filter and sort, and live updates.
import { startClock } from "./times.js";
import { startKeys } from "./keys.js";
import { startLists } from "./lists.js";
import { startLive } from "./live.js";
import { startTheme } from "./colours.js";

startTheme();
startClock();
startLists();
startKeys();
startLive();
